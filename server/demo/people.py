"""The people of the demo data: who they are, where they live, and what they are good at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from server.availability.model import Window

PASSWORD: Final = "visavis-demo"  # noqa: S105 - printed at every start, for everybody to try
ADMIN, MENTOR, MENTEE = "admin@demo.visavis.test", "mentor@demo.visavis.test", "mentee@demo.visavis.test"


@dataclass(frozen=True, slots=True)
class DemoMentor:
    name: str
    timezone: str
    headline: str
    bio: str
    topics: tuple[str, ...]
    languages: tuple[str, ...]
    price_tokens: int
    hours: str  # a key of HOURS

    @property
    def email(self) -> str:
        return f"{self.name.lower().replace(' ', '.')}@demo.visavis.test"


def _days(days: range, *windows: tuple[int, int]) -> tuple[tuple[int, Window], ...]:
    return tuple((day, Window(start * 60, end * 60)) for day in days for start, end in windows)


# Weekly windows in the mentor's own wall time.
HOURS: Final = {
    "office": _days(range(5), (9, 12), (14, 17)),
    "wide": _days(range(5), (9, 13), (14, 20)) + _days(range(5, 6), (10, 14)),
    "evenings": _days(range(5), (18, 21)),
    "early": _days(range(5), (7, 9)),
    "weekend": _days(range(5, 7), (10, 16)),
    "two days": _days(range(1, 4, 2), (10, 16)),
}

THE_MENTOR: Final = DemoMentor(
    "Asha Rao",
    "Asia/Kolkata",
    "Engineering leader who helps seniors grow into staff roles",
    "I have led platform teams for twelve years and interviewed several hundred engineers. We look at your real work,"
    " find the next step, and practise the conversations that lead to it.",
    ("Careers", "Leadership", "System design"),
    ("en", "hi"),
    30,
    "wide",
)

# (address, name, zone)
MENTEES: Final = (
    (MENTEE, "Jonas Weber", "Europe/Berlin"),
    ("nia.okafor@demo.visavis.test", "Nia Okafor", "Africa/Lagos"),
    ("lucas.martin@demo.visavis.test", "Lucas Martin", "America/Sao_Paulo"),
    ("emily.carter@demo.visavis.test", "Emily Carter", "America/Chicago"),
    ("kenji.ito@demo.visavis.test", "Kenji Ito", "Asia/Tokyo"),
)

MENTORS: Final = tuple(
    DemoMentor(name, zone, headline, bio, tuple(topics.split(", ")), tuple(languages.split()), price, hours)
    for name, zone, headline, bio, topics, languages, price, hours in (
        ("Mara Lindqvist", "Europe/Stockholm", "Product manager for developer tools",
         "From first user interview to roadmap; bring a decision you are stuck with.",
         "Product, Careers", "en sv", 35, "office"),
        ("Diego Fuentes", "America/Mexico_City", "Backend engineer, distributed systems",
         "Queues, retries and the art of being paged less often.",
         "System design, Python, Databases", "en es", 28, "evenings"),
        ("Aiko Tanaka", "Asia/Tokyo", "Design systems at a large retailer",
         "I help designers and engineers speak about the same button.",
         "Design, Accessibility", "en ja", 25, "office"),
        ("Chinedu Eze", "Africa/Lagos", "Founder, twice; investor, once",
         "Fundraising decks read line by line, and honest questions.",
         "Startups, Fundraising", "en", 60, "two days"),
        ("Sophie Laurent", "Europe/Paris", "Data scientist in public health",
         "Statistics without fear; your analysis, reproduced together.",
         "Data science, Statistics, Python", "en fr", 30, "wide"),
        ("Tom Whitfield", "Europe/London", "Engineering manager, fifteen years",
         "First ninety days as a manager, one to ones, and hiring.",
         "Leadership, Careers", "en", 40, "early"),
        ("Grace Mwangi", "Africa/Nairobi", "Mobile engineer, Android first",
         "Apps that work on slow phones and slower networks.",
         "Mobile, Kotlin", "en sw", 18, "evenings"),
        ("Rafael Costa", "America/Sao_Paulo", "Site reliability engineer",
         "Error budgets, post-mortems without blame, and calm on-call.",
         "Operations, System design", "en pt", 32, "office"),
        ("Hannah Fischer", "Europe/Berlin", "Career changer from law to software",
         "I know how the first year feels; we plan yours.",
         "Careers, Interviewing", "de en", 15, "weekend"),
        ("Olivia Bennett", "America/New_York", "Staff engineer, payments",
         "Ledgers, idempotency, and reading other people's designs.",
         "System design, Databases, Leadership", "en", 55, "early"),
        ("Wei Chen", "Asia/Shanghai", "Machine learning engineer",
         "From notebook to service, with tests on the way.",
         "Machine learning, Python", "en zh", 38, "evenings"),
        ("Fatima Haddad", "Africa/Casablanca", "Security analyst",
         "Threat models for small teams, one whiteboard at a time.",
         "Security", "ar en fr", 34, "office"),
        ("Liam O'Connor", "Europe/Dublin", "Frontend engineer, performance",
         "We profile your page together and make it fast.",
         "Frontend, JavaScript, Accessibility", "en", 27, "wide"),
        ("Priya Nair", "Asia/Kolkata", "Technical interviewer",
         "Mock interviews with notes you can act on the same evening.",
         "Interviewing, Careers", "en hi", 22, "evenings"),
        ("Noah Goldberg", "Asia/Jerusalem", "Compiler engineer",
         "Parsers, types, and why your build is slow.",
         "Compilers, Rust", "en he", 45, "two days"),
        ("Camila Rojas", "America/Bogota", "Scrum sceptic, delivery lead",
         "Fewer meetings and more shipping, with your calendar open.",
         "Delivery, Leadership", "en es", 26, "office"),
        ("James Whetu", "Pacific/Auckland", "Geospatial developer",
         "Maps, tiles, projections, and the bugs that hide at the date line.",
         "Geospatial, Databases", "en", 29, "office"),
        ("Ingrid Solberg", "Europe/Oslo", "Embedded engineer, marine sensors",
         "Firmware that survives salt water and your next release.",
         "Embedded, C", "en no", 36, "evenings"),
        ("Samuel Boateng", "Africa/Accra", "Analytics engineer",
         "SQL that others can read, and dashboards that answer a question.",
         "Databases, Data science", "en", 20, "wide"),
        ("Zeynep Kaya", "Europe/Istanbul", "UX researcher",
         "Interviews that do not lead, and findings that get used.",
         "Design, Product", "en tr", 24, "two days"),
        ("Ethan Brooks", "America/Los_Angeles", "Principal engineer, video",
         "Codecs, congestion control, and writing that persuades.",
         "Media, System design, Writing", "en", 65, "early"),
        ("Mina Park", "Asia/Seoul", "Game developer turned teacher",
         "Finish the small game first; I will not let you add multiplayer.",
         "Games, C++", "en ko", 21, "weekend"),
        ("Pavel Novak", "Europe/Prague", "Linux and networking consultant",
         "Packets, namespaces, and a packet capture for every mystery.",
         "Networking, Operations", "cs en", 33, "office"),
        ("Amelia Singh", "America/Toronto", "People partner for engineers",
         "Salary talks rehearsed until they are boring.",
         "Careers, Negotiation", "en pa", 30, "evenings"),
        ("Yusuf Rahman", "Asia/Dhaka", "Freelancer for ten years",
         "Proposals, prices and contracts for people who would rather code.",
         "Freelancing, Negotiation", "bn en", 16, "evenings"),
        ("Elena Petrova", "Europe/Sofia", "Quality engineer",
         "Tests that fail for the right reason.",
         "Testing, Python", "bg en", 23, "office"),
        ("Marcus Hill", "America/Denver", "Open source maintainer",
         "Your first contribution, or your hundredth issue triaged.",
         "Open source, Writing", "en", 12, "weekend"),
        ("Leila Farahani", "Asia/Tehran", "Robotics researcher",
         "Papers read slowly, experiments planned quickly.",
         "Robotics, Research", "en fa", 28, "two days"),
        ("Giulia Romano", "Europe/Rome", "Technical writer",
         "Bring a page nobody reads; leave with one they do.",
         "Writing, Open source", "en it", 19, "wide"),
        ("Hugo Alvarez", "America/Argentina/Buenos_Aires", "Engineering coach",
         "Pairing on your code base, two hours a month.",
         "Testing, Refactoring", "en es", 25, "evenings"),
        ("Thandiwe Dube", "Africa/Johannesburg", "Fintech product lead",
         "Markets with many currencies and little patience.",
         "Product, Startups", "en zu", 37, "office"),
        ("Nora Jensen", "Europe/Copenhagen", "Sustainability data engineer",
         "Pipelines for numbers that auditors will check.",
         "Databases, Data science", "da en", 31, "early"),
        ("Oscar Nguyen", "Asia/Ho_Chi_Minh", "Full-stack developer in agencies",
         "Estimates, clients, and the third deadline.",
         "Frontend, Freelancing", "en vi", 17, "evenings"),
        ("Abigail Foster", "Australia/Sydney", "Chief technology officer, health",
         "Growing from five engineers to fifty without losing the five.",
         "Leadership, Startups", "en", 70, "early"),
        ("Karim Mansour", "Africa/Cairo", "Cloud architect",
         "Bills cut in half, diagrams that match reality.",
         "Operations, System design", "ar en", 29, "office"),
    )
)  # fmt: skip
