"""National numbers of people, told by their check digits, which python-stdnum knows.

Ten digits chosen by chance pass a check once in ten times or less. So a column of digits has to be long, and nearly all
of it valid. Where letters are part of the form, fewer values say as much.
"""

import re
from collections.abc import Callable, Sequence
from importlib import import_module

BETWEEN = re.compile(r"[ ./-]")
# Module of stdnum -> the form, without what stands between: numbers of people, with a check digit in every one.
# Not here: those without (us.ssn, dk.cpr, cz.rc), and those that numbers of companies look like (ca.sin, il.idnr).
LETTERS = {
    "es.dni": r"\d{8}[A-Z]",
    "es.nie": r"[XYZ]\d{7}[A-Z]",
    "fi.hetu": r"\d{6}[+A-FU-Y]?\d{3}[\dA-Y]",
    "ie.pps": r"\d{7}[A-W][AHWTX]?",
    "it.codicefiscale": r"[A-Z]{6}[\dL-V]{2}[A-Z][\dL-V]{2}[A-Z][\dL-V]{3}[A-Z]",
    "mx.curp": r"[A-Z]{4}\d{6}[A-Z]{6}[A-Z\d]\d",
}
DIGITS = {
    "at.vnr": r"[1-9]\d{9}",
    "be.nn": r"\d{11}",
    "bg.egn": r"\d{10}",
    "br.cpf": r"\d{11}",
    "ch.ssn": r"756\d{10}",
    "cn.ric": r"\d{17}[\dX]",
    "de.idnr": r"[1-9]\d{10}",
    "ee.ik": r"[1-8]\d{10}",  # Lithuania's are the same
    "fr.nir": r"[1-478]\d{4}(?:\d\d|2[AB])\d{8}",
    "gb.nhs": r"[467]\d{9}",  # as issued: most ISBN of ten digits, whose check is the same, begin otherwise
    "gr.amka": r"\d{11}",
    "hr.oib": r"\d{11}",
    "in_.aadhaar": r"[2-9]\d{11}",
    "is_.kennitala": r"[0-3]\d{9}",
    "kr.rrn": r"\d{13}",
    "nl.bsn": r"\d{9}",
    "no.fodselsnummer": r"\d{11}",
    "pl.pesel": r"\d{11}",
    "ro.cnp": r"[1-9]\d{12}",
    "se.personnummer": r"(?:19|20)?\d{10}",
    "si.emso": r"\d{13}",  # and of its neighbours
    "th.pin": r"[1-8]\d{12}",
    "tr.tckimlik": r"[1-9]\d{10}",
    "za.idnr": r"\d{13}",
}
MOST = 0.8  # of the values, where they hold letters
ENOUGH, NEARLY_ALL = 50, 0.95  # of digits alone: distinct values, and the share of valid ones
FEW = 20  # values show that a column is of another kind


def is_national(values: Sequence[str]) -> bool:
    """Tell whether distinct values of a column are national numbers of one country."""
    few = values[:: -(-len(values) // FEW)]
    kinds = [(module, form, MOST) for module, form in LETTERS.items()]
    if len(values) >= ENOUGH:
        kinds += [(module, form, NEARLY_ALL) for module, form in DIGITS.items()]
    return any(_fit(few, module, form, MOST) and _fit(values, module, form, most) for module, form, most in kinds)


def _fit(values: Sequence[str], module: str, form: str, most: float) -> bool:
    """Tell whether at least this share of values has the form and the check digits."""
    pattern, fewest = re.compile(form, re.ASCII), most * len(values)
    written = [value for value in values if pattern.fullmatch(BETWEEN.sub("", value))]
    if len(written) < fewest:
        return False
    is_valid: Callable[[str], bool] = import_module(f"stdnum.{module}").is_valid
    return sum(map(is_valid, written)) >= fewest
