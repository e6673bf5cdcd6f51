"""Rules for markup, SQL, traversal and orders to a language model.

They look for what attacks look like and developers' text does not: a quote that ends a string
before ``or 1=1``, but not every UNION; climbing to a known file, but not every ``../``.
"""

import re

from aistack.screening.detectors import Check, Kind, Rule, View

_GAP = rb"(?:\s|\+|%20|%0[9a-d]|%a0|/\*[^*]{0,40}\*/)"
_NUMBER = rb"\d{1,12}|true|false|null"
_EQUAL = (
    _GAP + rb"{0,8}+\(?(?:not\s)?(?:'[^'\n]{0,24}'|\"[^\"\n]{0,24}\"|" + _NUMBER + rb")" + _GAP
    + rb"{0,4}+(?:=|%3d|<>|<|>|like\b)" + _GAP + rb"{0,4}+\(?(?:'|\"|" + _NUMBER + rb")"
)  # fmt: skip
"""A comparison of two constants, which no program needs."""
_BROKEN_OUT = re.compile(rb"""(?:['"`)]|\b\d{1,12}|%27|%22)""" + _GAP + rb"{0,8}\Z")
"""The end of a string, a number or a parenthesis: where an injected statement begins."""
_NUMBER_OR = re.compile(
    rb"(?:\A|[=\s(,])-?\d{1,12}\)?"
    + _GAP
    + rb"{1,8}(?:or|and|\|\||&&)"
    + _GAP
    + rb"{1,8}\(?\d{1,12}\s?\Z"
)
_NUMBER_AND = re.compile(
    rb"(?:\A|[=\s(,])-?\d{1,12}\)?" + _GAP + rb"{0,8}(?:and|or|-|\*|\|\|)[^'\n]{0,30}\Z"
)
_STATEMENT = re.compile(
    rb"\b(?:select|insert|update|delete|create|values|with|alter|begin|drop|grant)\b"
)
_BLIND = (
    rb"(?:sleep\(|benchmark\(|waitfor\s|extractvalue\(|updatexml\(|load_file\(|xp_cmdshell|"
    rb"into\s{1,4}(?:out|dump)file|dbms_pipe\.|utl_http\.|information_schema|(?:ascii|ord)\(|"
    rb"substr(?:ing)?\(|randomblob\(|\(select\b)"
)
_SEP = rb"(?:[/\\]|%2f|%5c){1,3}"
_TARGETS = (
    rb"(?:etc" + _SEP + rb"(?:passwd|shadow|group\b|hosts\b|sudoers|ssh\b|ssl" + _SEP
    + rb"private|aistack)|proc" + _SEP + rb"(?:self|\d)|(?:windows|winnt)" + _SEP
    + rb"(?:win\.ini|system32|system\.ini)|boot\.ini|root" + _SEP + rb"\.|"
    rb"(?:home" + _SEP + rb"[\w-]{1,32}" + _SEP + rb")?\.ssh|id_rsa|var"
    + _SEP + rb"(?:log|lib" + _SEP + rb"(?:aistack|postgresql))|web-inf|"
    rb"\.aws" + _SEP + rb"|run" + _SEP + rb"(?:secrets|credentials))"
)  # fmt: skip
_DOT = rb"(?:\.|%(?:25)?2e|%u002e|%uff0e|%c0%[a2]e)"
_SLASH = rb"(?:(?:25){0,2}(?:2f|5c)|u22(?:15|16)|u002f|c0%[a2]f|c1%[19]c|e0%80%af)"
"""After the first percent sign."""
_ACTIVE = rb"(?:/?script|img|svg|iframe|body|object|embed|input|details|video|audio|math|base)\b"
_WORDS = rb"(?:[\w',-]{1,20}\s{1,4})"
_ORDERS = (
    rb"(?:instructions?|prompts?|rules|directions|directives|guidelines|guardrails|constraints|"
    rb"commands|messages|safety|anweisungen|instrucciones|consignes)\b"
)
_MODEL = rb"(?:ai assistant|language model|ai model|assistant|llm|ai agent|agent|ai)s?\b"


def _rule(
    kind: Kind,
    name: str,
    needles: bytes | tuple[bytes, ...],
    pattern: bytes,
    *,
    check: Check | None = None,
    most: int | None = None,
) -> Rule:
    own = (needles,) if isinstance(needles, bytes) else needles
    return Rule(
        kind=kind, name=name, needles=own, pattern=re.compile(pattern), check=check, most=most
    )


def _after(pattern: "re.Pattern[bytes]", reach: int, *hints: bytes) -> Check:
    """Whether the pattern holds right before the match; it looks back ``reach`` bytes.

    Where hints are given, the pattern is tried only if one of them is there: cheaper by far.
    """

    def check(view: View, match: "re.Match[bytes]") -> bool:
        at = match.start()
        before = view.low[max(0, at - reach) : at]
        if hints and not any(map(before.__contains__, hints)):
            return False
        return pattern.search(before) is not None

    return check


def _without_statement(view: View, match: "re.Match[bytes]") -> bool:
    """Whether no statement comes before: an injected value has none, a script does."""
    at = match.start()
    return not _STATEMENT.search(view.low[max(0, at - 1000) : at])


def _is_injected(view: View, match: "re.Match[bytes]") -> bool:
    """Whether it follows a break-out."""
    at = match.start()
    broken_out = _BROKEN_OUT.search(view.low[max(0, at - 48) : at])
    return broken_out is not None and _without_statement(view, match)


_SCHEME = re.compile(rb"[=(:,]\s{0,4}[\"'`]?[\x00-\x20]{0,8}(?:j\s?a\s?v\s?a\s?|vb)\Z")

_MARKUP = (
    _rule("markup", "script-tag", b"<", rb"<(?:script[\s/>]|script%20|/script>\s{0,4}<)"),
    _rule("markup", "frame", b"<", rb"<(?:iframe|embed|object)[\s/>]"),
    _rule("markup", "base-or-refresh", b"<",
          rb"<(?:base\s{1,8}href|meta[^<>]{1,80}http-equiv\s{0,4}=\s{0,4}[\"']?refresh)"),
    _rule("markup", "event-handler", b"<",
          rb"<(?:[a-z]|/x)[^<>]{0,300}?[\s/\"'`\x0b\x0c]on[a-z]{4,24}\s{0,8}="),
    _rule("markup", "script-url", b"script:",
          rb"script:(?!void\(0\))\S",
          check=_after(_SCHEME, 40)),
    _rule("markup", "script-url", b"&",
          rb"&(?:#x0{0,7}[4657][6a];?|#0{0,7}(?:106|74|118|86)(?!\d);?|(?:#x?0{0,7}(?:9|a|d|10|13)|"
          rb"tab|newline);?[a-z]{0,4}script|colon;)",
          check=_after(re.compile(rb"[=(]\s{0,4}[\"']?[a-z\s]{0,12}\Z"), 32)),
    _rule("markup", "data-page", b"data:text/html", rb"data:text/html[;,]"),
    _rule("markup", "encoded-tag", b"%", rb"%(?:(?:25)?3c)" + _ACTIVE),
    _rule("markup", "escaped-tag", b"\\", rb"\\(?:u003c|x3c|74)" + _ACTIVE),
    _rule("markup", "escaped-tag", b"&", rb"&(?:#0{0,7}60;?|#x0{0,7}3c;?)" + _ACTIVE),
)  # fmt: skip

_SQL = (
    *(
        # After a quote that ends a string: a condition of constants, or a function that waits,
        # reads or leaks.
        _rule("sql", "condition", quote,
              quote + rb"(?:\)?\)?" + _GAP + rb"{0,8}+(?:(?:or|and|xor|\|\||&&)" + _EQUAL
              + rb"|(?:and|or|;|\|\||&&|union|xor|having|where|procedure|-)[^'\n]{0,60}?" + _BLIND
              + rb"|order by \d{1,3}\s{0,4}(?:--|#)|(?:group by [\w.]{1,30} )?having \d))",
              check=_without_statement)
        for quote in (b"'", b'"')
    ),
    _rule("sql", "condition", b"=", rb"=(?:(?<=\d=)|(?<=\d\s=))\s?\d",
          check=_after(_NUMBER_OR, 48, b"or", b"and", b"||", b"&&")),
    _rule("sql", "condition", b"sleep(", rb"sleep\(\s{0,4}\d", check=_after(_NUMBER_AND, 60)),
    _rule(
        "sql", "union", b"union",
        rb"union" + _GAP + rb"{0,8}(?:\*/)?" + _GAP + rb"{0,8}(?:(?:all|distinct)" + _GAP
        + rb"{1,8})?\(?(?:/\*!\d{0,5}\s{0,4})?select\b",
        check=_is_injected,
    ),
    _rule("sql", "versioned-comment", b"!",
          rb"!(?<=/\*!)\d{0,5}\s{0,4}(?:union|select|or|and|from|where)\b"),
    _rule(
        "sql", "stacked", b";",
        rb";(?:" + _GAP + rb"{0,8}(?:shutdown\b|(?:drop|delete|insert|update|alter|truncate|exec|"
        rb"execute|create|grant|select|waitfor|declare|copy|attach)\b" + _GAP + rb"{1,8}\S))",
        check=_is_injected,
    ),
    _rule("sql", "comment-tail", (b"--", b"#", b"/*"), most=500, pattern=
          rb"[a-z0-9_]['\"]\s{0,4}\)?\)?\s{0,4};?\s{0,2}(?:--[\s+-]{0,4}|#|/\*)\s{0,8}\Z"),
    _rule("sql", "encoded", b"%",
          rb"%(?:(?:25)?27(?:" + _GAP + rb"|%(?:25)?20|%29|\)){0,6}(?:or|and|union|like|having|"
          rb"order|select|\|\||%7c%7c|;|%3b|--|%23|/\*))"),
)  # fmt: skip

_TRAVERSAL = (
    _rule("traversal", "known-target", b"..", rb"\.(?=\.[/\\])\.[/\\]{1,3}" + _TARGETS),
    _rule("traversal", "deep", (b"../../../../../../..", b"..\\..\\..\\..\\..\\..\\.."),
          rb"\.\.[/\\](?:\.\.[/\\]){5,40}"),
    _rule("traversal", "encoded", b"%",
          rb"%(?:(?<=\.\.%)" + _SLASH + rb"|(?:(?:25)?2e|u002e|uff0e|c0%[a2]e)" + _DOT + rb"(?:%"
          + _SLASH + rb"|[/\\]))"),
    _rule("traversal", "nul-byte", b"%", rb"%(?:(?:25)?00(?:\.[a-z]|\Z|[\s&?\"']))",
          check=_after(re.compile(rb"[\w/\\.][a-z0-9]\Z"), 4)),
    _rule("traversal", "nested", b"..",
          rb"\.(?=\.[.;])\.(?:\.\.(?://|\\\\)|\./\./|\.\\\.\\|;/)\S"),
    _rule("traversal", "file-url", b":///", rb":///(?:[a-z]:[/\\])?(?:\.\.[/\\])?" + _TARGETS,
          check=_after(re.compile(rb"file\Z"), 8)),
    _rule("traversal", "device-path", b"\\",
          rb"\\(?=\\)\\(?:[?.]\\|[\w.-]{1,64}\\[a-z]\$)"),
)  # fmt: skip

_REVEAL = re.compile(
    rb"(?:reveal|print|repeat|output|display|leak|dump|show|tell|recite|disclose|translate|what)\b"
    rb"[^.?!\n]{0,40}\b(?:your|the above|verbatim)\b[^.?!\n]{0,20}"
    rb"(?:system|initial|hidden|original|full|secret|developer|above) \Z"
)
_QUALIFIERS = (
    b"system ",
    b"initial ",
    b"hidden ",
    b"original ",
    b"full ",
    b"secret ",
    b"developer ",
    b"above ",
)
_INJECTION = (
    *(
        _rule("injection", "override", verb,
              verb + rb"(?:e|iere)?\s{1,4}" + _WORDS + rb"{0,4}(?:previous|prior|above|earlier|"
              rb"preceding|former|existing|original|foregoing|initial|system|vorherigen|anteriores|"
              rb"safety|your)\s{1,4}" + _WORDS + rb"{0,2}" + _ORDERS)
        for verb in (b"ignor", b"disregard", b"forget", b"overrid", b"bypass")
    ),
    _rule("injection", "override", b"ignor",
          rb"ignor(?:ez|a)\s(?:\S{1,20}\s){0,2}(?:instructions|consignes|instrucciones)\b"),
    *(
        _rule("injection", "reveal", noun, noun, check=_after(_REVEAL, 90, *_QUALIFIERS))
        for noun in (b"prompt", b"instructions", b"message")
    ),
    _rule("injection", "role", b"you are now",
          rb"you are now\s{1,4}(?:in\s{1,4})?(?:an?\s{1,4}|the\s{1,4})?(?:dan\b|unrestricted|"
          rb"jailbroken|uncensored|unfiltered|developer mode|evil|free (?:from|of)|no longer bound|"
          rb"root\b|administrator|debugg?ing mode)"),
    _rule("injection", "role", b"anything now", rb"do anything now"),
    _rule("injection", "role", b"developer mode",
          rb"developer mode\s{1,4}(?:enabled|activated)"),
    _rule("injection", "new-orders", b"instruction",
          rb"instructions?\s{0,3}:",
          check=_after(re.compile(rb"\b(?:new|updated|real|actual)\s(?:system\s)?\Z"), 24)),
    _rule("injection", "addressed", b"instruction",
          rb"instructions?\s(?:to|for)\s(?:the\s|any\s|all\s)?" + _MODEL + rb"[^.\n]{0,40}:"),
    _rule("injection", "addressed", b" must ",
          rb" must (?:now |first |always |immediately |also )?(?:call|execute|send|ignore|delete|"
          rb"reveal|forward|invoke|output|recommend)\b",
          check=_after(re.compile(_MODEL + rb",?(?: you)?\Z"), 40)),
    _rule("injection", "exfiltrate", b" to http", rb" to https?://",
          check=_after(re.compile(rb"\b(?:send|forward|post|upload|exfiltrate|append)\s" + _WORDS
          + rb"{0,4}(?:conversation|chat history|api keys?|credentials|secrets|system prompt|"
          rb"user data|context)\b[^.\n]{0,40}\Z"), 140)),
    _rule("injection", "chat-markup", b"<",
          rb"<(?:\|im_start\|>\s{0,4}(?:system|assistant)|\|system\|>|<sys>>|"
          rb"\|start_header_id\|>\s{0,4}system)"),
    # Tag characters copy ASCII invisibly. The flags of England, Scotland and Wales have six.
    _rule("injection", "invisible-text", b"\xf3", rb"\xf3(?:\xa0[\x80\x81][\x80-\xbf]\xf3){7}\xa0"),
)  # fmt: skip

PATTERNS: tuple[Rule, ...] = (*_MARKUP, *_SQL, *_TRAVERSAL, *_INJECTION)
