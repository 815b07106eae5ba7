"""Model output that tries to run code, break the markup, or hide and reorder text."""

from __future__ import annotations

HOSTILE = (
    "<script>document.title='owned'</script></pre></textarea></details><img src=x onerror=alert(1)>"
    '\x1b[31mred\u202edlrow\u2066 \x00 & "quotes" <!-- ]]> {{ 7 * 7 }}\n'
)
