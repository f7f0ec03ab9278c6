"""One image file to one square: orientation, depth, transparency, aspect ratio, and files that cannot be read."""

import io
import os
import resource
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from tests.worker.datasets.image_folders import grey_ramp, save
from tests.worker.datasets.layouts import compass
from worker.datasets.read_image import TURNS, UnreadableImage, read_image

UPRIGHT = Image.fromarray(compass(16).transpose(1, 2, 0))
UNDOING = {  # the turn that a camera held the other way makes
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
    Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
}


def read(path, size=16, background="#ffffff"):
    return read_image(path, size, background)


def colour_at(image, x, y):
    return image[:, y, x].tolist()


def png_of_16_bits(pixels):
    """The bytes of a PNG of 16 bits per colour, which Pillow reads and does not write. pixels: H W 3 uint16."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
    def test_of_exif_is_applied(self, tmp_path, orientation, suffix):
        """An image whose EXIF data say how it was turned is read upright."""
        turn = TURNS.get(orientation)
        turned = UPRIGHT if turn is None else UPRIGHT.transpose(UNDOING.get(turn, turn))
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        lossless = {"lossless": True} if suffix == ".webp" else {}
        path = save(tmp_path / f"photo{suffix}", turned, exif=exif, **lossless)
        assert torch.equal(read(path), torch.from_numpy(compass(16)))

    def test_of_a_jpeg_is_applied(self, tmp_path):
        """A photograph taken with the camera on its side is read upright."""
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        wide = Image.new("RGB", (400, 300), "white")
        wide.paste((200, 0, 0), (0, 0, 200, 300))
        image = read(save(tmp_path / "photo.jpg", wide, exif=exif))
        assert image[:, 2, 8].sum() < 250 < 3 * 240 < image[:, 13, 8].sum()


class TestDepth:
    @pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
    def test_of_16_bits_is_scaled(self, tmp_path, suffix):
        """Grey of 16 bits is divided by 257, not clipped at 255."""
        image = read(save(tmp_path / f"ramp{suffix}", grey_ramp()))
        expected = np.rint(grey_ramp() / 257).astype(np.uint8)
        assert (image.numpy() == expected).all()

    def test_of_16_bits_in_either_byte_order(self, tmp_path):
        """The byte order of a TIFF does not matter."""
        little, big = (save(tmp_path / f"{order}.tif", grey_ramp().astype(f"{order}u2")) for order in "<>")
        assert torch.equal(read(little), read(big))

    def test_of_16_bits_per_colour_is_scaled(self, tmp_path):
        """Of 16 bits per colour the upper eight are read."""
        path = tmp_path / "deep.png"
        path.write_bytes(png_of_16_bits(np.stack([grey_ramp(), grey_ramp()[:, ::-1], grey_ramp(highest=999)], -1)))
        image = read(path)
        assert image[0, 0].tolist() == (grey_ramp()[0] >> 8).tolist()
        assert image[2, 0].tolist() == (grey_ramp(highest=999)[0] >> 8).tolist()

    def test_of_floats_is_scaled(self, tmp_path):
        """Grey floats from 0 to 1 are multiplied by 255."""
        image = read(save(tmp_path / "ramp.tif", grey_ramp().astype(np.float32) / 65_535))
        assert image[0, 0].tolist() == np.rint(np.linspace(0, 255, 16)).astype(int).tolist()

    @pytest.mark.parametrize("values", [[0, 2.5], [-1, 0.5], [0, np.nan]])
    def test_of_floats_in_another_range_is_refused(self, tmp_path, values):
        """Floats outside 0 … 1 are refused with their range, because no one scale would be right."""
        path = save(tmp_path / "map.tif", np.resize(np.float32(values), (16, 16)))
        with pytest.raises(UnreadableImage, match=r"has grey values from .* to .*, expected 0 to 1: scale them"):
            read(path)

    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "LA", "RGBA"])
    def test_of_every_mode_becomes_rgb(self, tmp_path, mode):
        """White is white in images of every mode."""
        white = Image.new("RGB", (16, 16), "white")
        image = white.convert(mode) if mode != "LAB" else Image.new("LAB", (16, 16), (255, 128, 128))
        path = save(tmp_path / f"white.{'tif' if mode in ('CMYK', 'YCbCr', 'LAB') else 'png'}", image)
        assert min(colour_at(read(path), 8, 8)) >= 250


class TestTransparency:
    @pytest.mark.parametrize(
        ("background", "expected"), [("#ffffff", [255, 255, 255]), ("#000000", [0, 0, 0]), ("#0a141e", [10, 20, 30])]
    )
    def test_is_laid_on_the_background(self, tmp_path, background, expected):
        """Transparent pixels have the background's colour, whatever colour is stored below them."""
        path = save(tmp_path / "logo.png", Image.new("RGBA", (16, 16), (1, 2, 3, 0)))
        assert colour_at(read(path, background=background), 5, 5) == expected

    def test_is_blended_by_its_alpha(self, tmp_path):
        """Half transparent black on white is grey."""
        path = save(tmp_path / "half.png", Image.new("LA", (16, 16), (0, 128)))
        assert colour_at(read(path), 5, 5) == [127, 127, 127]

    def test_of_a_palette_is_laid_on_the_background(self, tmp_path):
        """The transparency of palettes, of a GIF and of one named colour is laid on the background too."""
        palette = Image.new("P", (16, 16), 1)
        palette.putpalette([0, 0, 0, 10, 20, 30])
        for path in (
            save(tmp_path / "bytes.png", palette, transparency=bytes([0, 0])),
            save(tmp_path / "index.png", palette, transparency=1),
            save(tmp_path / "index.gif", palette, transparency=1),
            save(tmp_path / "colour.png", Image.new("RGB", (16, 16), (7, 8, 9)), transparency=(7, 8, 9)),
            save(tmp_path / "grey.png", Image.new("L", (16, 16), 7), transparency=7),
        ):
            assert colour_at(read(path), 5, 5) == [255, 255, 255], path.name

    def test_of_16_bits_is_laid_on_the_background(self, tmp_path):
        """The transparent value of a grey image of 16 bits is laid on the background."""
        path = save(tmp_path / "ramp.png", grey_ramp(), transparency=0)
        assert [colour_at(read(path), x, 5) for x in (0, 15)] == [[255] * 3, [255] * 3]
        assert colour_at(read(path), 1, 5) == [17] * 3


class TestAspectRatio:
    @pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1)])
    def test_extreme_needs_little_memory(self, tmp_path, size):
        """A strip of 1 × 60,000 pixels is cut before it is resized, which would ask for gigabytes."""
        path = save(tmp_path / "strip.png", Image.new("RGB", size, (9, 8, 7)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert colour_at(read(path, size=96), 50, 50) == [9, 8, 7]
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB

    def test_middle_square_is_read(self, tmp_path):
        """The shorter side decides the square, and the middle of the longer side is read."""
        wide = Image.new("RGB", (48, 16), "white")
        wide.paste(UPRIGHT, (16, 0))
        assert torch.equal(read(save(tmp_path / "wide.png", wide)), torch.from_numpy(compass(16)))


class TestRefusal:
    def test_decompression_bomb(self, tmp_path):
        """A small file that declares very many pixels is refused before it is decoded."""
        content = io.BytesIO()
        Image.new("1", (20_000, 20_000)).save(content, "PNG")
        (tmp_path / "bomb.png").write_bytes(content.getvalue())
        with pytest.raises(UnreadableImage, match=r"400000000 pixels\) exceeds limit"):
            read(tmp_path / "bomb.png")

    def test_changed_bit_in_a_png(self, tmp_path):
        """After one changed bit of its pixels a PNG has the same pixels, or is refused.

        Pillow reads other pixels without an error after some changes near the end, so the checksums are compared.
        """
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
        path = save(tmp_path / "noise.png", noise.convert("RGBA"))
        content, expected = path.read_bytes(), read(path)
        for index in range(len(content) - 360, len(content)):
            path.write_bytes(content[:index] + bytes([content[index] ^ 1 << index % 8]) + content[index + 1 :])
            try:
                assert torch.equal(read(path), expected), index
            except UnreadableImage:
                continue

    @pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
    def test_several_frames(self, tmp_path, suffix):
        """An animation is refused, because no frame of it is the image."""
        frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green")]
        path = save(tmp_path / f"film{suffix}", frames[0], save_all=True, append_images=frames[1:])
        with pytest.raises(UnreadableImage, match="has more than one image in it"):
            read(path)

    def test_format_that_runs_programs(self, tmp_path):
        """A file of PostScript with the name of a JPEG is refused and not run."""
        (tmp_path / "photo.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
        with pytest.raises(UnreadableImage, match="of another format"):
            read(tmp_path / "photo.jpg")

    def test_message_has_no_absolute_path(self, tmp_path):
        """Pillow's own message would show the server's folders."""
        (tmp_path / "photo.jpg").write_bytes(b"nothing")
        with pytest.raises(UnreadableImage) as raised:
            read(tmp_path / "photo.jpg")
        assert str(tmp_path) not in str(raised.value)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
    def test_file_without_permission(self, tmp_path):
        """A file that may not be read is refused with the reason."""
        path = save(tmp_path / "photo.png", UPRIGHT)
        path.chmod(0)
        with pytest.raises(UnreadableImage, match="Permission denied"):
            read(path)


class TestFormat:
    def test_is_told_by_content(self, tmp_path):
        """A PNG whose name ends in .jpg is read."""
        path = save(tmp_path / "photo.png", UPRIGHT).rename(tmp_path / "photo.jpg")
        assert torch.equal(read(path), torch.from_numpy(compass(16)))

    def test_of_targa_is_told_by_name(self, tmp_path):
        """TGA has no mark, so only a name that ends in .tga is read as one."""
        path = save(tmp_path / "photo.tga", UPRIGHT)
        assert torch.equal(read(path), torch.from_numpy(compass(16)))
        with pytest.raises(UnreadableImage):
            read(path.rename(tmp_path / "photo.jpg"))

    def test_large_jpeg_is_close_to_its_full_decoding(self, tmp_path):
        """A JPEG that is decoded at a fraction of its size differs little from one that is decoded whole."""
        y, x = np.mgrid[0:907, 0:907]
        photo = np.stack([128 + 90 * np.sin(x / 60), 128 + 90 * np.cos(y / 75), (x + y) / 7.2], -1).astype(np.uint8)
        path = save(tmp_path / "photo.jpg", photo, quality=95)
        whole = np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(read(path, size=32).permute(1, 2, 0).numpy() - whole).max() <= 3
        assert torch.equal(read(path, size=32), read(path, size=32))
