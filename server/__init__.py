"""The domain of Visavis, one folder per idea, and the roofs that wire it into processes."""

import zoneinfo

# Every wall clock comes from the pinned tzdata package: the machine's own zone files may be years older, and a mail
# would then name another hour than the one that was booked.
zoneinfo.reset_tzpath(to=())
