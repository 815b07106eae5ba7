"""Shapes of secrets with random values, and texts that look like secrets and are not."""

from __future__ import annotations

import random
import re
import string
from base64 import urlsafe_b64encode

import msgspec
import pytest

from punie_build.data.example import decode_example
from punie_build.data.filters.content import Secrets
from punie_build.data.filters.personal_data import is_iban, is_luhn
from punie_build.data.filters.secret import find_secrets, replace_secrets
from punie_build.data.transform import transform_line
from punie_build.data.transforms import Redact

ALPHABETS = {"a": string.ascii_letters + string.digits, "h": string.digits + "abcdef", "d": string.digits}
ALPHABETS["u"] = string.digits + string.ascii_uppercase
TOKENS = """AKIA{u16} ASIA{u16} glpat-{a20} xapp-1-A{u10}-{d12}-{h64} xoxb-{d12}-{d12}-{a24} xoxe.xoxp-1-{a100}
hooks.slack.com/services/T{u8}/B{u8}/{a24} GOCSPX-{a28} ya29.{a80} AIza{a35} sk_live_{a24} rk_live_{a24} SK{h32}
AC{h32} SG.{a22}.{a43} key-{h32} {h32}-us12 npm_{a36} pypi-AgEIcHlwaS5vcmc{a120} rubygems_{h48} dckr_pat_{a27}
dop_v1_{h64} HEROKU_API_KEY={h8}-{h4}-{h4}-{h4}-{h12} shpat_{h32} dapi{h32} gsk_{a52} r8_{a37} xai-{a80} 12{d8}:AA{a33}
M{a23}.{a6}.{a27} AccountKey={a86}== hvs.{a24} {a14}.atlasv1.{a64} lin_api_{a40} ntn_{a46} PMAK-{h24}-{h34}
glsa_{a32}_{h8} glc_{a60} dp.pt.{a43} sntrys_{a80} sk-{a48} sk-proj-{a40}_{a40} sk-ant-api03-{a93}AA hf_a1{a32}
ghp_{a36} github_pat_{a22}_{a59} tskey-auth-{a12}-{a32} NRAK-{u27} ATATT3{a180} API_TOKEN={a39}7""".split()
TOKENS += ["Authorization: Bearer {a39}1", "Authorization: Basic {a30}1=", "aws_secret_access_key = {a39}1"]
TOKENS += """glrt-{a20} ghs_{a36} gho_{a36} ghu_{a36} xoxp-{d12}-{d12}-{d12}-{h32} sk-svcacct-{a40}7K sk-or-v1-{h64}
pplx-{a48} nvapi-{a64} csk-{h48} pcsk_{a60} lsv2_pt_{h32}_{h10} tgp_v1_{a43} xkeysib-{h64}-{a16} whsec_{a32} pul-{h40}
pscale_tkn_{a43} sbp_{h40} figd_{a43} fo1_{a43} EAA{a60} shpss_{h32} sq0atp-{a22} HRKU-{a36} nfp_{a36} sgp_{h40}
sha256~{a43} rdme_{h70} ops_eyJ{a80} LTAI{a20} CFPAT-{a43} EZAK{a54} shippo_live_{h40} duffel_live_{a43}
api_org_{a34} ATCTT3{a180} ATBB{a32} AKC{a60} dckr_oat_{a32} 1//0{a50} GR1348941{a20}""".split()
TOKENS += """VERCEL_TOKEN={a23}7 vcp_{a56} vercel_blob_rw_{a16}_{a30} AAAA{a7}:APA91b{a134} FIREBASE_TOKEN={a46}
bkua_{h40} bkct_{a40} BUILDKITE_AGENT_TOKEN={a50} sl.{a135} sl.u.{a300} DROPBOX_ACCESS_TOKEN={a11}AAAAAAAAAA{a43}
CCIPAT_{a22}_{h40} CIRCLE_TOKEN={h40} rnd_{a28} mdb_sa_sk_{a40} 1/1{d15}:{h32} fw_{a24} tvly-{a32} jina_{a60} sk_{h48}
sk-lf-{h8}-{h4}-{h4}-{h4}-{h12} AAAAAAAAAAAAAAAAAAAAA{a80} {h36}NRAL JWT_SECRET={a31}7 ALGOLIA_ADMIN_KEY={h32}
SNYK_TOKEN={h8}-{h4}-{h4}-{h4}-{h12} "vercelToken":"{a23}7" secret_key_base:{h128} --token={a23}7
https://api.corp.net/v1?access_token={a27}7 https://x.blob.core.net/c?sv=2020&sig={a43}%3D""".split()
TOKENS += ["vercel deploy --token {a23}7", "vercel.token = '{a23}7'", "define('AUTH_KEY', '{a64}');"]
OTHERS = {
    "private-key": [
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE{a40}\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nx",
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none",
        "AGE-SECRET-KEY-1{u58}",
    ],
    "token": [
        "https://{a40}@git.company.org/x.git",
        "postgres://admin:{a16}7b@db.prod.internal:5432/app",
        "redis://:{a20}7b@cache.internal:6379/0",
    ],
    "password": [
        'password = "{a12}!"',
        "https://ann:{a12}@db.company.org/x",
        "mongodb+srv://ann:{a16}@cluster0.abcde.mongodb.net/x",
        "postgres://ann:S3cr%2Ft!$x*9@db.company.org/x",
        "jdbc:postgresql://db.company.org/x?user=ann&password={a16}7b",
        "PGPASSWORD={a16} psql",
        "sshpass -p '{a16}' ssh x",
        "curl -s -u ann:{a16} https://company.org",
        "mysql -u root -p{a16}7b",
        "machine company.org login ann password {a16}",
        "password: {a16}7b",
    ],
    "email": ["ann@company.org", "jörg@müller.de", "ann@test.company.org"],
    "ip": ["8.8.8.8", "2a00:1450:4001:81b::200e", "at 8.8.4.4.", "http://93.184.216.34/x"],
    "phone": [
        "+49 30 901820",
        "(212) 736-5000",
        "+1 415-555-2671",
        "0049 30 901820",
        "1-212-736-5000",
        "tel. 030/901820",
    ],
    "card": ["4539 1488 0343 6467", "378282246310005", "4111 1111 1111 1111 12/27 and", "3530111333300000."],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "be68-5390-0754-7034", "NO93 8601 1117 947 FROM"],
    "ssn": ["536-22-8726"],
}
HARMLESS = [
    '<div class="sk-cube-grid-loader-animation-wrapper-inner-circle">',
    "/wiki/sk-learn-tutorial-for-beginners-part-two-with-examples-2024",
    "AKIAIOSFODNN7EXAMPLE",
    f"ghp_{'0' * 36}",
    'if "-----BEGIN RSA PRIVATE KEY-----" in text: raise',
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0.SflKxwRJSMeKKF2QT4fwpM",
    "icon@2x.png",
    "section 3.4.2.1, Chrome/91.0.4472.124, version 8.15.7.1",
    "scp a.txt ann@server.com:/home",
    "git clone git@host.org:a/b",
    "std::vector<int>::iterator a::b 12:30:45",
    "order 1234567890123456 at 1612345678, 3.14159265358979323846",
    "sha512-lJzRc1YdHaAA2KCNJJ1tkYwF/+mKK6Ygw0NGe170Xu592euJv2wYUtBlV8z+qnlcNQSnIYVTkLWntUO1F8j8rQ==",
    "commit 3b18e512dba79e4c8300dd08aeb37f8e728b8dad, 550e8400-e29b-41d4-a716-446655440000",
    "Authorization: Bearer YOUR_ACCESS_TOKEN_HERE_1",
    "api_key = os.environ['API_KEY_FOR_MY_SERVICE_2']",
    "219-09-9999, ZZ89 3704 0044 0532 0130 00, ann@example.co.uk, ann@sub.test",
    "postgres://user:password@localhost/db amqp://guest:guest@localhost:5672/ mysql://{user}:{password}@{host}/db",
    "postgres://$USER:$PASS@host/db https://me:XXXX@host/x https://<token>@github.com/x redis://localhost:6379",
    "https://unpkg.com/react@18.2.0/umd/react.js ssh://git@github.com:22/x.git http://localhost:80/@a/b:1@c",
    "VERCEL_TOKEN=${{ secrets.VERCEL_TOKEN }} FIREBASE_TOKEN=$(firebase login:ci) TOKEN=your_token_goes_here_2",
    "nextPageToken: CAUQAA1b2C3d4E5f6G7h8, csrf_token=a8B7c6D5e4F3g2H1i0J9, public_key = a8B7c6D5e4F3g2H1i0J9",
    "tokenizer.pad_token = tokenizer.eos_token, max_tokens=4096, key = lambda x: x.value_of_something_2",
    "curl -u $USER:$PASS https://company.org, mysql -u root -p, password: str = Field(...), PGPASSWORD=$PW psql",
    "call 555-0100, pkg@1.2.3, 192.168.0.1, 2001:db8::1, ann@example.org",
]
ALL = ("private-key", "token", "password", "email", "ip", "phone", "card", "iban", "ssn")


def filled(shape: str) -> str:
    choose = random.Random(shape).choices
    return re.sub(r"\{([ahdu])(\d+)\}", lambda m: "".join(choose(ALPHABETS[m[1]], k=int(m[2]))), shape)


@pytest.mark.parametrize("shape", TOKENS)
def test_tokens_are_found_and_replaced(shape: str):
    token = filled(shape)
    assert [span.kind for span in find_secrets(f"use {token} now", ("token",))][:1] == ["token"]
    assert token[-12:] not in replace_secrets(f"use {token} now", ("token",))


@pytest.mark.parametrize(("kind", "shape"), [(kind, shape) for kind, shapes in OTHERS.items() for shape in shapes])
def test_other_kinds_are_found(kind, shape: str):
    text = f"it is {filled(shape)} here"
    assert {span.kind for span in find_secrets(text, (kind,))} == {kind}
    assert f"[{kind}]" in replace_secrets(text, (kind,))


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_texts_have_no_secret(text: str):
    assert list(find_secrets(f"see {text} there", ALL)) == []


def test_allowed_texts_are_no_secrets():
    token = filled("ghp_{a36}")
    assert list(find_secrets(token, ("token",), allow=(token[4:20],))) == []


def encoded(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize("size", [30, 3000, 20_000])
@pytest.mark.parametrize("before", [0, 4000, 8190])
def test_long_tokens_are_replaced_whole(size: int, before: int):
    body = filled(f"{{a{size}}}")
    tokens = [".".join([encoded('{"alg":"RS256"}'), encoded(f'{{ "sub":"{body}"}}'), filled("{a300}")]), f"xoxb-{body}"]
    for token in tokens:
        text = f"{filled(f'{{a{before}}}')} {token} end"
        assert replace_secrets(text, ("token",)).endswith(" [token] end")


def test_passwords_are_found_in_long_lines():
    assert "[password]" in replace_secrets(
        '{"a": 1}, ' * 500 + '{"password": "' + filled("{a14}") + '!"}', ("password",)
    )


@pytest.mark.parametrize("line_break", ["\n", "\\n"])
@pytest.mark.parametrize("end", ["-----END RSA PRIVATE KEY-----", ""])
@pytest.mark.parametrize("head", ["", "Proc-Type: 4,ENCRYPTED|DEK-Info: AES-128-CBC,7A1B||"])
def test_private_keys_are_replaced_whole_even_if_they_are_cut(line_break: str, end: str, head: str):
    key = "|".join(["-----BEGIN RSA PRIVATE KEY-----", head + filled("{a64}"), filled("{a63}"), filled("{a40}=="), end])
    text = key.replace("|", line_break)
    assert replace_secrets(f"x {text}", ("private-key",)).removesuffix(line_break) == "x [private-key]"


def test_tokens_are_found_behind_an_escape():
    assert replace_secrets(r'{"out": "a\n' + filled("ghp_{a36}") + '"}', ("token",)) == r'{"out": "a\n[token]"}'


def test_check_digits_decide():
    assert is_luhn("4539148803436467")
    assert not is_luhn("4539148803436468")
    assert is_iban("DE89370400440532013000")
    assert not is_iban("DE88370400440532013000")


def row(token: str) -> bytes:
    call = {
        "id": token,
        "type": "function",
        "function": {"name": "f", "arguments": msgspec.json.encode({"k": f'"{token}"'}).decode()},
    }
    tool = {"type": "function", "function": {"name": "f", "description": f"uses {token}"}}
    messages = [
        {"role": "user", "content": f"my {token}"},
        {"role": "assistant", "content": None, "reasoning_content": f"think {token}", "tool_calls": [call]},
    ]
    return msgspec.json.encode({"messages": messages, "tools": [tool], "n": 1.50}) + b"\n"


def test_redact_rewrites_every_text_of_a_row_and_keeps_ids():
    token = filled("ghp_{a36}")
    line = transform_line(row(token), [Redact()])
    assert line.count(token.encode()) == 1  # the id
    assert line.count(b"[token]") == 4
    record = msgspec.json.decode(line)
    arguments = record["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert msgspec.json.decode(arguments) == {"k": '"[token]"'}
    assert transform_line(line.replace(token.encode(), b"1"), [Redact()]) == line.replace(token.encode(), b"1")


def test_secrets_in_declarations_of_tools_are_found():
    token = filled("ghp_{a36}")
    tools = [{"type": "function", "function": {"name": "f", "description": f"uses {token}"}}]
    line = msgspec.json.encode({"messages": [{"role": "user", "content": "x"}], "tools": tools})
    assert not Secrets().keep(decode_example(line))
    assert Secrets(allow=(token,)).keep(decode_example(line))


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----me@mail.org",
        "me@mail.org-----BEGIN PRIVATE KEY-----",
    ],
)
def test_a_secret_beside_another_is_replaced_too(text):
    replaced = replace_secrets(text, ("private-key", "token", "email", "ip"))
    assert "me@" not in replaced
    assert "PRIVATE" not in replaced
    assert replace_secrets(replaced, ("private-key", "token", "email", "ip")) == replaced
