from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from punie_build.storage import sealed_file


@given(st.binary(max_size=60), st.data())
def test_a_sealed_file_is_read_back_and_a_flipped_bit_makes_it_absent(tmp_path_factory, content, data):
    path = tmp_path_factory.mktemp("sealed") / "deep" / "file"
    assert sealed_file.read(path) is None
    sealed_file.write(path, content)
    assert sealed_file.read(path) == content
    written = bytearray(path.read_bytes())
    place, bit = data.draw(st.integers(0, len(written) - 1)), data.draw(st.integers(0, 7))
    written[place] ^= 1 << bit
    path.write_bytes(written)
    assert sealed_file.read(path) is None
