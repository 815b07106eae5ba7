"""The shapes of access tokens that have a prefix or another mark of their own, as their issuers document them.

These are texts: reading recipes compiles none of them.
"""

from __future__ import annotations

UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_SHAPES = (
    r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,}",
    r"gl(?:pat|ptt|rt|dt|cbt|ft|imt|agent|oas|soat|ffct)-[\w-]{20,}|GR1348941[\w-]{20}",  # GitLab
    r"xox[abceoprs](?:\.xox[abp])?-[\w-]{10,}|xapp-\d-[\w-]{10,}",  # Slack
    r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]{20,}",
    r"AIza[\w-]{35}|GOCSPX-[\w-]{24,}|ya29\.[\w-]{20,}|1//0[\w-]{40,}",  # Google
    r"[rs]k_(?:live|test|prod)_[0-9a-zA-Z]{16,}|whsec_[A-Za-z0-9+/]{24,}",  # Stripe
    r"(?:AC|SK)[a-f0-9]{32}(?![0-9A-Za-z])",  # Twilio
    r"SG\.[\w-]{16,32}\.[\w-]{16,64}|xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}",
    r"(?:pub)?key-[a-f0-9]{32}(?![0-9A-Za-z])|[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}(?![-\w])",  # Mailgun
    r"[0-9a-f]{32}-us\d{1,2}(?!\w)",  # Mailchimp
    r"npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}|rubygems_[a-f0-9]{48}|dckr_[op]at_[\w-]{20,}|CLOJARS_[a-z0-9]{60}",
    (
        r"do[opr]_v1_[a-f0-9]{64}|HRKU-[\w-]{30,}|"
        r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|dapi[a-f0-9]{32}(?:-\d)?(?![0-9A-Za-z])"
    ),
    r"gsk_[A-Za-z0-9]{40,}|r8_[A-Za-z0-9]{30,}|xai-\w{60,}|pplx-[A-Za-z0-9]{40,}|nvapi-[\w-]{50,}|csk-[a-z0-9]{40,}",
    r"pcsk_\w{40,}|esecret_\w{20,}|lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}|tgp_v1_[\w-]{40,}",
    r"sk-[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{30,}",
    r"\d{8,10}:[A-Za-z0-9_-]{35}(?![\w-])",  # Telegram
    (
        r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}|"
        r"discord(?:app)?\.com/api/webhooks/\d{15,}/[\w-]{40,}"
    ),
    r"[A-Za-z0-9_~.]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}",  # Azure
    r"hv[sbr]\.[\w-]{24,}|s\.[A-Za-z0-9]{24}(?![\w.])|[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,}",  # HashiCorp
    r"lin_(?:api|oauth)_[A-Za-z0-9]{32,}|(?:secret|ntn)_[A-Za-z0-9]{40,}|PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
    r"glc_[A-Za-z0-9+/=]{32,}|glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|eyJrIjoi[A-Za-z0-9+/=]{60,}",  # Grafana
    r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{36,}|sntry[us]_[\w+/=-]{40,}|[0-9a-f]{32}@(?:\w+\.)*sentry\.io",
    r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}|LTAI[A-Za-z0-9]{17,21}(?!\w)|AT(?:ATT|CTT)3[\w=-]{60,}|ATBB[A-Za-z0-9]{24,}",
    r"CFPAT-[\w-]{43}|v1\.0-[a-f0-9]{24}-[a-f0-9]{146}|dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}|EZ[AT]K[A-Za-z0-9]{54}",
    r"EAA[A-Za-z0-9]{40,}|FLW(?:PUB|SEC)K(?:_TEST)?-[A-Za-z0-9]{12,}|fo1_[\w-]{43}|fm[12]r?_[\w+/=-]{80,}",
    r"fio-u-[\w=-]{64}|ico-[A-Za-z0-9]{32}|NR(?:AK|II|JS|AL|SP)-?[\w-]{19,}|nfp_[A-Za-z0-9]{36,}|sha256~[\w-]{43}",
    r"pscale_(?:tkn|pw|oauth)_[\w=.-]{32,}|pnu_[a-zA-Z0-9]{36}|pul-[a-f0-9]{40}|rdme_[a-z0-9]{70}|tk-us-[\w-]{48}",
    (
        r"sm_(?:aat|pat|sat)_[A-Za-z0-9]{16}|shippo_(?:live|test)_[a-f0-9]{40}|"
        r"sq[upa]_[a-f0-9]{40}|sgp_(?:\w+_)?[a-f0-9]{40}"
    ),
    r"sq0(?:atp|csp)-[\w-]{22,43}|sbp_[a-f0-9]{40}|sb_secret_[\w-]{20,}|tskey-[a-z]+-[\w-]{20,}|tfp_[\w.=-]{40,}",
    r"figd_[\w-]{40,}|zpka_[\w-]{30,}|ops_eyJ[\w+/=-]{60,}|aio_[A-Za-z0-9]{28}|duffel_(?:test|live)_[\w=-]{43}",
    r"cmVmd[A-Za-z0-9]{59}|AKC[a-zA-Z0-9]{10,200}(?![\w.-])|[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk|AKID[A-Za-z0-9]{32,}",
    rf"(?:api|sdk|mob)-{UUID}|(?:live|test)_(?:pub_)?[a-f0-9]{{31,35}}(?!\w)|AQVN[\w-]{{35,38}}|ddp_[A-Za-z0-9]{{36}}",
)
_OTHER_SHAPES = (
    r"vc[acipkr]_[A-Za-z0-9]{24,}|vercel_blob_rw_[A-Za-z0-9]{16}_[A-Za-z0-9]{20,}",  # Vercel
    r"AAAA[\w-]{7}:APA91b[\w-]{100,}",  # Firebase
    r"bk[a-z]{2}_[A-Za-z0-9]{36,}|CCI(?:PAT|PRJ)_[A-Za-z0-9]{20,}_[a-f0-9]{40}",  # Buildkite, CircleCI
    r"sl\.(?:u\.)?[\w-]{100,}|[A-Za-z0-9]{11}A{10}[\w-]{43}(?![\w-])",  # Dropbox
    r"rnd_[A-Za-z0-9]{26,}|mdb_sa_sk_[\w-]{36,}|[12]/\d{15,16}(?:/\d{15,16})?:[a-f0-9]{32}",  # Render, MongoDB, Asana
    r"fw_[A-Za-z0-9]{22,}|tvly-(?:dev-|prod-)?[A-Za-z0-9]{32}|jina_\w{60}|sk_[a-f0-9]{48}|pa-[\w-]{43}(?![\w-])",
    rf"[sp]k-lf-{UUID}|access_token\$production\$[a-z0-9]{{16}}\$[a-f0-9]{{32}}|dG9rO[A-Za-z0-9+/]{{50,}}=*",
    r"A{20,22}[\w%]{60,}|[a-f0-9]{36}NRAL|django-insecure-[^\s\"']{40,}",  # Twitter, New Relic
)
_ASSIGNED = (  # without a mark of their own: the words before them tell
    (
        r"aws.{0,20}?(?:key|pwd|pw|password|pass|token).{0,20}?"
        r"(?<![A-Za-z0-9/+])(?P<aws>[0-9a-zA-Z/+]{40})(?![A-Za-z0-9/+=])"
    ),
    r"secret_?access_?key\W{1,6}(?P<access>[0-9a-zA-Z/+]{40})(?![A-Za-z0-9/+=])",
    r"authorization[\"']?\]?\s*[:=,]\s*[\"'`]?(?:bearer|basic|token|apikey)\s+(?P<header>[A-Za-z0-9._~+/-]{16,}=*)",
    r"\bbearer\s+(?P<bearer>[A-Za-z0-9._~+/-]{24,}=*)",
    rf"heroku.{{0,30}}?(?P<heroku>{UUID})",
    r"AccountKey\s*=\s*(?P<azure>[A-Za-z0-9+/]{86,88}==)(?!.{0,80}documents\.azure)",
    (
        r"(?:private|access|auth|api|secret|client)[_-]?(?:key|token|secret)[\"']?\]?\s*(?:=|:|=>)\s*[\"'`]?"
        r"(?P<assigned>(?=[A-Za-z]*\d)[A-Za-z0-9_+/-]{32,}={0,2})(?![\w+/=.(-])"
    ),
)
SHAPES = rf"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt]))(?:{'|'.join(_SHAPES + _OTHER_SHAPES)})"
ASSIGNED = "|".join(_ASSIGNED)
_BREAK = r"\s|\\[nrt]"  # also as an escape in JSON
PRIVATE_KEY = (
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?![\"'`])"
    r"(?:[\s\S]{0,20000}?-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    rf"|(?:(?:{_BREAK})+[A-Z][\w-]+: ?[\w,-]+)*(?:(?:{_BREAK})+[A-Za-z0-9+/]{{16,}}={{0,2}})*)"  # a key that is cut
    r"|BEGIN (?:DSA |EC |OPENSSH |PGP |RSA )?PRIVATE KEY-*[A-Za-z0-9+/\\\n]{10,}={0,3}"
    r"|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----(?![\"'`])"
    r"(?:[\s\S]{0,20000}?---- END SSH2 ENCRYPTED PRIVATE KEY ----)?"
    r"|PuTTY-User-Key-File-[23]:.{1,60}\n?Encryption:(?:[\s\S]{0,20000}?Private-MAC: [0-9a-f]+)?"
    r"|PuTTY-User-Key-File-[23]: [\w-]+(?:[\s\S]{0,20000}?Private-MAC: [0-9a-f]+)?"
    r"|AGE-SECRET-KEY-1[0-9A-Z]{50,60}"
)
