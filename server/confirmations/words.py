"""What people mean who answer in their own words; pure, and cautious: what is not certain is nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from server.confirmations.tickets import Verb

LONGEST: Final = 60  # characters: who writes more has more to say than yes or no
# Whole sentences only: "no problem, I am coming" must not be a no.
_SAID: Final[Mapping[Verb, str]] = {
    Verb.YES: (
        "yes|y|yep|yeah|yup|ok|okay|k|sure|of course|confirmed|confirm|i confirm|i am coming|im coming|i will come"
        "|i will be there|ill be there|see you|see you then|see you there|yes i am coming|yes i will be there"
        "|ja|jo|jawohl|klar|passt|in ordnung|ich komme|bin dabei|ja ich komme|bis dann|bis spater|bis später"
        "|oui|d accord|si|sí|claro|sim|da|haan|ha|👍|✅"
    ),
    Verb.NO: (
        "no|n|nope|nah|i cannot|i cant|cant|cannot|i cannot come|i cant come|i cant make it|i cannot make it"
        "|not coming|i am not coming|im not coming|no i cant|no i cannot|cant make it"
        "|nein|ne|nee|ich kann nicht|kann nicht|geht nicht|leider nicht|nein ich kann nicht|non|não|nao|nahi|👎|❌"
    ),
    Verb.MOVE: (
        "move|reschedule|postpone|later|another time|move it|other time|can we move|can we reschedule|can we move it"
        "|verschieben|verlegen|anderer termin|ein anderer termin|andere zeit|konnen wir verschieben"
        "|können wir verschieben|déplacer|reporter|mover|cambiar"
    ),
    Verb.CANCEL: (
        "cancel|cancel it|please cancel|i want to cancel|i have to cancel|cancel the session|cancel session"
        "|absagen|storno|stornieren|absage|ich sage ab|ich muss absagen|annuler|cancelar|anular"
    ),
}
_VERB_OF: Final = MappingProxyType({said: verb for verb, all_ in _SAID.items() for said in all_.split("|")})
_POLITE: Final = frozenset(
    {"please", "thanks", "thank", "you", "thx", "bitte", "danke", "merci", "gracias", "sorry"}
)


def understand(text: str) -> Verb | None:
    """Yes, no, move or cancel, in a few languages and however it is written; None when it says anything else."""
    if len(text) > LONGEST:
        return None
    bare = re.sub(r"['’`]", "", text.casefold())
    # Skin tones and joiners belong to a thumb; other punctuation separates words.
    bare = re.sub("[\U0001f3fb-\U0001f3ff\ufe0f\u200d]", "", bare)
    words = re.sub(r"[^\w👍👎✅❌]+", " ", bare).split()
    for spoken in (words, [word for word in words if word not in _POLITE]):
        if (verb := _VERB_OF.get(" ".join(spoken))) is not None:
            return verb
    return None


def in_the_face_of(verb: Verb | None, asked: frozenset[Verb]) -> Verb | None:
    """What a word means in answer to a message with these buttons: a yes to "really cancel?" cancels."""
    if Verb.CANCEL_NOW in asked:
        match verb:
            case Verb.YES | Verb.CANCEL:
                return Verb.CANCEL_NOW
            case Verb.NO:
                return Verb.KEEP
    return verb
