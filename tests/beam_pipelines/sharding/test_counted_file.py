import io

from beam_pipelines.sharding.counted_file import CountedFile

TEXT, CRC32C = b"123456789", "e3069283"  # the check value of CRC-32C in the catalogue of parametrised CRC algorithms


def test_what_is_written_is_counted() -> None:
    buffer = io.BytesIO()
    counted = CountedFile(buffer)
    assert [counted.write(TEXT[:4]), counted.write(memoryview(TEXT[4:]))] == [4, 5]
    assert (buffer.getvalue(), counted.bytes, counted.tell(), counted.crc32c) == (TEXT, 9, 9, CRC32C)


def test_what_is_read_is_counted() -> None:
    counted = CountedFile(io.BytesIO(TEXT))
    assert (counted.read(4), counted.read(), counted.read()) == (TEXT[:4], TEXT[4:], b"")
    assert (counted.bytes, counted.crc32c) == (9, CRC32C)
