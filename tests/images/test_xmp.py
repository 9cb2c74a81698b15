"""Sizes, positions and references in XMP are corrected or left out with a warning; everything else is kept."""

import io
import struct
import time
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from support.facts import lines

from upsample_cli.enlarge.run import upsample_file
from upsample_cli.images.metadata.change import Change
from upsample_cli.images.metadata.for_output import metadata_for_output
from upsample_cli.images.metadata.xmp import Packet
from upsample_cli.images.metadata.xmp_rules import RULES, changed_xmp, xmp_orientation
from upsample_cli.images.model import Metadata
from upsample_cli.images.open import read_header

NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "apple-fi": "http://ns.apple.com/faceinfo/1.0/",
    "MP": "http://ns.microsoft.com/photo/1.2/",
    "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "mine": "http://example.org/mine/",
}
HEIGHT, WIDTH = 40, 80


def packet(properties="", *, attributes=""):
    declared = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    return (
        f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f"<rdf:RDF {declared}>"
        f'<rdf:Description rdf:about="" {attributes}>{properties}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '                    <?xpacket end="w"?>'
    ).encode()


def change(orientation=1, factor=2):
    upright = (HEIGHT, WIDTH) if orientation < 5 else (WIDTH, HEIGHT)
    return Change(orientation, HEIGHT, WIDTH, upright[0] * factor, upright[1] * factor)


def read(xmp):
    """The values of all properties by prefixed name, read by another parser."""
    prefixes = {uri: prefix for prefix, uri in NAMESPACES.items()}
    found = {}

    def note(name, value):
        uri, _, local = name[1:].partition("}")
        found.setdefault(f"{prefixes.get(uri, uri)}:{local}", []).append((value or "").strip())

    for element in ElementTree.fromstring(xmp.decode()).iter():
        note(element.tag, element.text)
        for name, value in element.items():
            note(name, value)
    return found


def boxed(orientation, x, y, width, height):
    """Where a box, given by its corner in fractions, is in the upright image: found by turning pixels."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    top, left = round(y * HEIGHT), round(x * WIDTH)
    pixels[top : top + round(height * HEIGHT), left : left + round(width * WIDTH)] = 255
    image = Image.fromarray(pixels)
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # Pillow's transpositions by orientation number
    upright = np.asarray(image if orientation == 1 else image.transpose(Image.Transpose(turns[orientation])))
    rows, columns = np.nonzero(upright.any(axis=1))[0], np.nonzero(upright.any(axis=0))[0]
    down, across = upright.shape
    return (columns[0] / across, rows[0] / down, len(columns) / across, len(rows) / down)


def face(form, x, y, width, height, *, unit="normalized", applied=(WIDTH, HEIGHT)):
    if form == "elements":
        area = "".join(
            f"<stArea:{name}>{value}</stArea:{name}>"
            for name, value in (("x", x), ("y", y), ("w", width), ("h", height), ("unit", unit))
        )
        area = f'<mwg-rs:Area rdf:parseType="Resource">{area}</mwg-rs:Area>'
    else:
        area = (
            f"<mwg-rs:Area stArea:x='{x}' stArea:y='{y}' stArea:w='{width}' stArea:h='{height}' stArea:unit='{unit}'/>"
        )
    return (
        '<mwg-rs:Regions rdf:parseType="Resource">'
        f'<mwg-rs:AppliedToDimensions stDim:w="{applied[0]}" stDim:h="{applied[1]}" stDim:unit="pixel"/>'
        f'<mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description mwg-rs:Name="Ada" mwg-rs:Type="Face">{area}'
        "</rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
    )


@pytest.mark.parametrize("form", ["elements", "attributes"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("unit", ["normalized", "pixel"])
def test_a_face_turns_with_the_image(orientation, form, unit):
    x, y, width, height = 0.1, 0.2, 0.3, 0.5
    stated = [x + width / 2, y + height / 2, width, height]  # a region is stated by its centre
    if unit == "pixel":
        stated = [value * side for value, side in zip(stated, (WIDTH, HEIGHT) * 2, strict=True)]
    moved = change(orientation)
    after, lost = changed_xmp(packet(face(form, *stated, unit=unit)), moved)
    left, top, wide, high = boxed(orientation, x, y, width, height)
    expected = [left + wide / 2, top + high / 2, wide, high]
    if unit == "pixel":
        expected = [value * side for value, side in zip(expected, (moved.width, moved.height) * 2, strict=True)]
    found = read(after)
    assert [float(found[f"stArea:{name}"][0]) for name in "xywh"] == pytest.approx(expected)
    assert [found[f"stDim:{name}"] for name in "wh"] == [[str(moved.width)], [str(moved.height)]]
    assert found["mwg-rs:Name"] == ["Ada"]
    assert lost == ()


def test_regions_of_the_upright_image_are_not_turned_again():
    upright = packet(face("elements", 0.25, 0.25, 0.1, 0.2, applied=(HEIGHT, WIDTH)))
    found = read(changed_xmp(upright, change(6))[0])
    assert [found[f"stArea:{name}"][0] for name in "xywh"] == ["0.25", "0.25", "0.1", "0.2"]
    assert (found["stDim:w"], found["stDim:h"]) == (["80"], ["160"])


@pytest.mark.parametrize("unreadable", ["x", "nan", "", "1e400"])
def test_regions_that_cannot_be_corrected_are_left_out_with_a_warning(unreadable):
    for stated in (
        face("attributes", unreadable, 0.2, 0.1, 0.1),
        face("elements", 0.2, 0.2, 0.1, 0.1, applied=(100, 100)),  # another proportion: cropped since
    ):
        after, lost = changed_xmp(packet(stated + "<mine:note>stays</mine:note>"), change(6))
        assert lost == ("faces and other regions",)
        found = read(after)
        assert "mwg-rs:Regions" not in found
        assert found["mine:note"] == ["stays"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_in_microsoft_and_iptc_form_turn_too(orientation):
    corner = (0.1, 0.2, 0.3, 0.5)
    moved, expected = change(orientation), boxed(orientation, *corner)
    stated = (
        '<MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag><rdf:li MPReg:PersonDisplayName="Ada"'
        f' MPReg:Rectangle="{", ".join(map(str, corner))}"/></rdf:Bag></MPRI:Regions></MP:RegionInfo>'
        '<Iptc4xmpExt:ImageRegion><rdf:Bag><rdf:li rdf:parseType="Resource"><Iptc4xmpExt:RegionBoundary'
        ' Iptc4xmpExt:rbShape="rectangle" Iptc4xmpExt:rbUnit="pixel" Iptc4xmpExt:rbX="8" Iptc4xmpExt:rbY="8"'
        ' Iptc4xmpExt:rbW="24" Iptc4xmpExt:rbH="20"/></rdf:li></rdf:Bag></Iptc4xmpExt:ImageRegion>'
    )
    after, lost = changed_xmp(packet(stated), moved)
    found = read(after)
    assert [float(side) for side in found["MPReg:Rectangle"][0].split(",")] == pytest.approx(expected)
    pixels = [side * size for side, size in zip(expected, (moved.width, moved.height) * 2, strict=True)]
    assert [float(found[f"Iptc4xmpExt:{name}"][0]) for name in ("rbX", "rbY", "rbW", "rbH")] == pytest.approx(pixels)
    assert lost == ()


@pytest.mark.parametrize("stated", [
    face("attributes", 0.2, 0.2, 0.1, 0.1, applied=(0, HEIGHT)),
    face("attributes", 0.2, 0.2, 0.1, 0.1, applied=(WIDTH, 0)),
    face("attributes", 0.2, 0.2, 0.1, 0.1, applied=("inf", HEIGHT)),
    '<MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag><rdf:li MPReg:Rectangle="0, 0, 1"/></rdf:Bag>'
    "</MPRI:Regions></MP:RegionInfo>",
    "<Iptc4xmpExt:RegionBoundary Iptc4xmpExt:rbShape='circle' Iptc4xmpExt:rbX='0.5' Iptc4xmpExt:rbRx='0.1'/>",
    "<Iptc4xmpExt:RegionBoundary Iptc4xmpExt:rbX='1e99' Iptc4xmpExt:rbY='0' Iptc4xmpExt:rbRx='0.1'/>",
])  # fmt: skip
def test_damaged_regions_of_each_kind_are_left_out_with_a_warning(stated):
    after, lost = changed_xmp(packet(stated + "<mine:note>stays</mine:note>"), change(6))
    found = read(after)
    assert lost == ("faces and other regions",)
    assert found["mine:note"] == ["stays"]
    assert not {"mwg-rs:Area", "MPReg:Rectangle", "Iptc4xmpExt:rbX"} & found.keys()


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_diameter_of_a_circle_in_pixels_is_enlarged(orientation):
    area = "<mwg-rs:Area stArea:x='20' stArea:y='10' stArea:d='6' stArea:unit='pixel'/>"
    stated = f'<mwg-rs:Regions rdf:parseType="Resource">{area}</mwg-rs:Regions>'
    after, lost = changed_xmp(packet(stated), change(orientation, factor=3))
    found = read(after)
    place = {1: ["60", "30"], 6: ["90", "60"]}[orientation]  # turned, 10 from the top is 30 from the left of 40
    assert [found[f"stArea:{name}"][0] for name in "xyd"] == [*place, "18"]
    assert lost == ()


def test_iptc_polygons_and_circles_turn_with_the_image():
    stated = (
        "<Iptc4xmpExt:RegionBoundary><rdf:Description Iptc4xmpExt:rbShape='polygon' Iptc4xmpExt:rbUnit='relative'>"
        "<Iptc4xmpExt:rbVertices><rdf:Seq><rdf:li Iptc4xmpExt:rbX='0.25' Iptc4xmpExt:rbY='0.25'/></rdf:Seq>"
        "</Iptc4xmpExt:rbVertices></rdf:Description></Iptc4xmpExt:RegionBoundary>"
        "<Iptc4xmpExt:RegionBoundary Iptc4xmpExt:rbShape='circle' Iptc4xmpExt:rbUnit='relative'"
        " Iptc4xmpExt:rbX='0.5' Iptc4xmpExt:rbY='0.1' Iptc4xmpExt:rbRx='0.1'/>"
    )
    found = read(changed_xmp(packet(stated), change(6))[0])
    assert found["Iptc4xmpExt:rbX"] == ["0.75", "0.9"]
    assert found["Iptc4xmpExt:rbY"] == ["0.25", "0.5"]
    assert found["Iptc4xmpExt:rbRx"] == ["0.2"]  # a tenth of 80 pixels is a fifth of 40


PANORAMA = packet(
    attributes='GPano:ProjectionType="equirectangular" GPano:FullPanoWidthPixels="160" GPano:FullPanoHeightPixels="80"'
    ' GPano:CroppedAreaImageWidthPixels="80" GPano:CroppedAreaImageHeightPixels="40" GPano:CroppedAreaLeftPixels="40"'
    ' GPano:CroppedAreaTopPixels="20" GPano:PoseHeadingDegrees="12.5"'
)


def test_a_panorama_is_scaled_and_left_out_if_the_image_is_turned():
    after, lost = changed_xmp(PANORAMA, change())
    found = read(after)
    expected = {"FullPanoWidthPixels": "320", "CroppedAreaImageHeightPixels": "80", "CroppedAreaLeftPixels": "80",
                "CroppedAreaTopPixels": "40", "PoseHeadingDegrees": "12.5"}  # fmt: skip
    assert {name: found[f"GPano:{name}"][0] for name in expected} == expected
    assert lost == ()
    after, lost = changed_xmp(PANORAMA, change(3))
    assert lost == ("the panorama",)
    assert not [name for name in read(after) if name.startswith("GPano")]


def test_tiff_and_exif_sizes_positions_and_densities_are_corrected():
    stated = packet(
        "<exif:SubjectArea><rdf:Seq><rdf:li>20</rdf:li><rdf:li>10</rdf:li><rdf:li>8</rdf:li><rdf:li>4</rdf:li></rdf:Seq>"
        "</exif:SubjectArea><tiff:XResolution>300/1</tiff:XResolution><tiff:YResolution>150/1</tiff:YResolution>",
        attributes="tiff:Orientation='6' tiff:ImageWidth='80' tiff:ImageLength = '40' exif:PixelXDimension='80'"
        " exif:PixelYDimension='40' tiff:Compression='6' exif:FocalPlaneXResolution='1000/3'"
        " exif:FocalPlaneYResolution='500/1' dc:format='image/jpeg'",
    )
    assert xmp_orientation(stated) == 6
    after, lost = changed_xmp(stated, change(6))
    found = read(after)
    expected = {
        "tiff:Orientation": "1", "tiff:ImageWidth": "80", "tiff:ImageLength": "160", "exif:PixelXDimension": "80",
        "exif:PixelYDimension": "160", "tiff:XResolution": "150/1", "tiff:YResolution": "300/1",
        "exif:FocalPlaneXResolution": "1000/1", "exif:FocalPlaneYResolution": "2000/3",
    }  # fmt: skip
    assert {name: found[name][0] for name in expected} == expected
    assert found["rdf:li"] == ["60", "40", "8", "16"]  # (20, 10) in 80x40 is (30, 20) in 40x80
    assert "tiff:Compression" not in found
    assert lost == ()


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ((20, 10), ["60", "40"]),
        ((20, 10, 8), ["60", "40", "16"]),
        ((20,), None),
        ((1, 2, 3, 4, 5), None),
        ((), None),
        ((80, 10), None),
    ],
)
def test_a_subject_has_two_to_four_numbers(items, expected):
    listed = "".join(f"<rdf:li>{item}</rdf:li>" for item in items)
    stated = packet(f"<exif:SubjectArea><rdf:Seq>{listed}</rdf:Seq></exif:SubjectArea>")
    after, lost = changed_xmp(stated, change(6))
    assert read(after).get("rdf:li") == expected
    assert lost == (() if expected else ("the main subject's place",))


@pytest.mark.parametrize(
    ("attributes", "about"),
    [
        ('GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"', "a film (motion photo)"),
        ('hdrgm:Version="1.0" hdrgm:GainMapMax="2"', "an HDR gain map"),
    ],
)
def test_references_to_other_parts_of_the_file_are_removed(attributes, about):
    directory = (
        "<Container:Directory><rdf:Seq><rdf:li rdf:parseType='Resource'><Container:Item/></rdf:li></rdf:Seq>"
        "</Container:Directory>"
    )
    after, lost = changed_xmp(packet(directory, attributes=attributes + ' GCamera:HdrPlusMakernote="kept"'), change())
    assert set(lost) == {about, "other images, films or sounds in the file"}
    assert [name for name in read(after) if name.partition(":")[0] in {"GCamera", "Container", "hdrgm"}] == [
        "GCamera:HdrPlusMakernote"
    ]


def test_camera_raw_settings_are_removed_from_turned_images_unless_already_applied():
    for attributes, orientation, lost in (
        ('crs:CropLeft="0.1"', 1, ()),
        ('crs:CropLeft="0.1"', 6, ("the settings of Camera Raw",)),
        ('crs:CropLeft="0.1" crs:AlreadyApplied="True"', 6, ()),
    ):
        assert changed_xmp(packet(attributes=attributes), change(orientation))[1] == lost


def test_properties_without_a_rule_keep_every_byte():
    """Custom prefixes, XML entities, comments and order do not change."""
    stated = packet("<mine:a>&lt;&#233;</mine:a><!-- b --><mine:c><![CDATA[<x>]]></mine:c>", attributes="mine:d = '>'")
    assert changed_xmp(stated, change(6)) == (stated, ())
    renamed = stated.replace(b"mine:", b"tiff2:").replace(b"xmlns:mine", b"xmlns:tiff2")
    assert changed_xmp(renamed, change(6)) == (renamed, ())
    turned = stated.replace(b"xmlns:tiff=", b"xmlns:t=").replace(b"mine:d = '>'", b't:Orientation="6"')
    assert b't:Orientation="1"' in changed_xmp(turned, change(6))[0]  # the namespace decides, not its prefix


def test_empty_elements_are_removed_completely():
    stated = packet("<GCamera:MotionPhoto/><mine:a/><exif:PixelXDimension/></rdf:Description><rdf:Description a='b'/>")
    stated = stated.replace(b"a='b'/></rdf:Description>", b"a='b'/>")
    after, _ = changed_xmp(stated, change(6))
    assert after == stated.replace(b"<GCamera:MotionPhoto/>", b"")


def test_longer_values_use_the_padding():
    stated = packet(attributes="tiff:ImageWidth='80'")
    after = changed_xmp(stated, change(factor=20))[0]
    assert read(after)["tiff:ImageWidth"] == ["1600"]
    assert len(after) == len(stated)


LAUGHS = b"<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;'>]>" + packet("<mine:a>&b;</mine:a>")
SLOW = {
    "entities": LAUGHS,
    "an external entity": b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><x/>",
    "depth": b"<a>" * 100_000 + b"</a>" * 100_000,
    "elements": b"<r>" + b"<a/>" * 200_000 + b"</r>",
    "attributes": b"<r " + b" ".join(b"a%d=''" % number for number in range(200_000)) + b"/>",
    "namespaces": b"<r " + b" ".join(b"xmlns:a%d='u'" % number for number in range(200_000)) + b"/>",
    "not closed": b"<x tiff:Orientation='6'>",
    "not UTF-8": b"<x a='\xff'/>",
    "nothing": b"no XML",
}


@pytest.mark.parametrize("attack", SLOW.values(), ids=list(SLOW))
def test_attacks_and_damage_are_refused_quickly(attack):
    begun_s = time.process_time()
    with pytest.raises(ValueError, match=r"."):
        Packet(attack)
    assert time.process_time() - begun_s < 5


@pytest.mark.parametrize("number", ["1e999999999", "9" * 5000, "1/0", "-1", "0x10", "inf"])
def test_an_invalid_number_is_not_scaled(number):
    stated = packet(
        f"<exif:SubjectLocation><rdf:Seq><rdf:li>{number}</rdf:li><rdf:li>1</rdf:li></rdf:Seq></exif:SubjectLocation>",
        attributes=f'GPano:FullPanoWidthPixels="{number}" exif:FocalPlaneXResolution="{number}"',
    )
    after, lost = changed_xmp(stated, change())
    assert {"the panorama", "the main subject's place"} - set(lost) == set()
    assert not {"exif:SubjectLocation", "GPano:FullPanoWidthPixels"} & read(after).keys()


def jpeg_with(xmp, **settings):
    file = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (200, 30, 30)).save(file, "JPEG", xmp=xmp, **settings)
    return file.getvalue()


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_a_face_region_is_correct_in_every_format(tmp_path, extension):
    (tmp_path / "in.jpg").write_bytes(
        jpeg_with(packet(face("elements", 0.25, 0.25, 0.1, 0.2), attributes="tiff:Orientation='6'"))
    )
    upsample_file("in.jpg", f"out{extension}", factor=2)
    info, metadata = read_header(f"out{extension}")
    assert (info.height, info.width) == (2 * WIDTH, 2 * HEIGHT)
    found = read(metadata.xmp)
    assert [found[f"stArea:{name}"][0] for name in "xywh"] == ["0.75", "0.25", "0.2", "0.1"]
    assert (found["stDim:w"], found["stDim:h"]) == (["80"], ["160"])
    assert lines(info.losses) == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_xmp_orientation_is_found_by_namespace_with_any_prefix_and_encoding(encoding):
    stated = packet(attributes="t:Orientation='6'").replace(b"xmlns:tiff=", b"xmlns:t=")
    info, metadata = read_header(io.BytesIO(jpeg_with(stated.decode().encode(encoding))))
    assert (info.height, info.width) == (WIDTH, HEIGHT)
    assert b"t:Orientation='1'" in metadata_for_output(metadata, WIDTH, HEIGHT, info).xmp
    assert info.losses == ()


OTHERS = (
    "<xmpMM:Pantry xmlns:xmpMM='http://ns.adobe.com/xap/1.0/mm/'><rdf:Bag><rdf:li{}</rdf:li></rdf:Bag></xmpMM:Pantry>",
    "<Iptc4xmpExt:SnapshotLink><rdf:Bag><rdf:li{}</rdf:li></rdf:Bag></Iptc4xmpExt:SnapshotLink>",
)
FOREIGN = (
    " rdf:parseType='Resource'><dc:format>image/png</dc:format><tiff:Orientation>6</tiff:Orientation>"
    "<tiff:ImageWidth>4000</tiff:ImageWidth><crs:Exposure>1</crs:Exposure>",
    "><rdf:Description dc:format='image/png' tiff:Orientation='6' exif:PixelXDimension='4000'/>",
)


@pytest.mark.parametrize("holder", OTHERS)
@pytest.mark.parametrize("foreign", FOREIGN)
def test_properties_of_ingredients_and_linked_images_are_not_those_of_the_image(holder, foreign):
    inner = holder.format(foreign)
    assert xmp_orientation(packet(inner)) is None
    assert xmp_orientation(packet(inner + "<tiff:Orientation>3</tiff:Orientation>")) == 3
    changed, lost = changed_xmp(packet(inner + "<mine:a>80</mine:a>"), change(3))
    assert (changed, lost) == (packet(inner + "<mine:a>80</mine:a>"), ())
    changed, _ = changed_xmp(packet(inner + "<tiff:ImageWidth>80</tiff:ImageWidth>"), change(3))
    assert b">160<" in changed
    assert inner.encode() in changed


def test_losses_are_known_from_the_header():
    info, _ = read_header(io.BytesIO(jpeg_with(packet(attributes='GCamera:MotionPhoto="1"'))))
    assert lines(info.losses) == ("what the XMP says about a film (motion photo) is left out",)
    info, metadata = read_header(io.BytesIO(jpeg_with(LAUGHS)))
    assert lines(info.losses) == ("the XMP is damaged and is left out",)
    assert metadata.xmp is None


def test_unequal_resolutions_turn_with_the_image():
    stated = packet(attributes="tiff:Orientation='6'")
    info, metadata = read_header(io.BytesIO(jpeg_with(stated, dpi=(300, 150))))
    assert metadata.dpi == (300, 150)
    assert metadata_for_output(metadata, 2 * info.height, 2 * info.width, info).dpi == (150, 300)
    assert metadata_for_output(Metadata(dpi=(300, 150)), 1, 1).dpi == (300, 150)


def test_every_rule_belongs_to_a_namespace():
    assert all(uri.startswith("http://") for uri, _ in RULES)


def extension_segments(extension, digest, *, step=300):
    for at in range(0, len(extension), step):
        places = struct.pack(">II", len(extension), at)
        body = b"http://ns.adobe.com/xmp/extension/\0" + digest + places + extension[at : at + step]
        yield struct.pack(">BBH", 0xFF, 0xE1, len(body) + 2) + body


EXTENSION = packet(f"<mine:long>{'long' * 300}</mine:long>", attributes="tiff:ImageWidth='80' GDepth:Near='1'").replace(
    b"xmlns:mine", b"xmlns:GDepth='http://ns.google.com/photos/1.0/depthmap/' xmlns:mine"
)
DIGEST = b"0123456789ABCDEF0123456789ABCDEF"


def extended(pieces, digest=DIGEST):
    main = packet("<mine:note>stays</mine:note>", attributes=f"n:HasExtendedXMP='{digest.decode()}'").replace(
        b"xmlns:mine", b"xmlns:n='http://ns.adobe.com/xmp/note/' xmlns:mine"
    )
    data = jpeg_with(main)
    return data[:2] + b"".join(pieces) + data[2:]


@pytest.mark.parametrize("order", [1, -1])
def test_an_xmp_extension_is_joined_and_corrected(order):
    pieces = [*extension_segments(EXTENSION, DIGEST)][::order]
    info, metadata = read_header(io.BytesIO(extended([*pieces, *extension_segments(b"<x/>", DIGEST[::-1])])))
    found = read(metadata.xmp)
    assert (found["mine:note"], found["mine:long"]) == (["stays"], ["long" * 300])
    assert lines(info.losses) == ("what the XMP says about a depth map is left out",)
    after = read(metadata_for_output(metadata, 2 * HEIGHT, 2 * WIDTH, info).xmp)
    assert after["tiff:ImageWidth"] == [str(2 * WIDTH)]
    assert not [name for name in after if "Extended" in name or "Near" in name]


@pytest.mark.parametrize(
    "pieces",
    [
        [], [*extension_segments(EXTENSION, DIGEST)][1:], [*extension_segments(EXTENSION, DIGEST)][:-1],
        [*extension_segments(EXTENSION[:-60], DIGEST)], [*extension_segments(LAUGHS, DIGEST)],
        [struct.pack(">BBH", 0xFF, 0xE1, 37) + b"http://ns.adobe.com/xmp/extension/\0"],
    ],
)  # fmt: skip
def test_an_incomplete_xmp_extension_is_reported(pieces):
    info, metadata = read_header(io.BytesIO(extended(pieces)))
    assert lines(info.losses) == ("only the main part of the XMP is kept, not its extension",)
    after = read(metadata_for_output(metadata, 2 * HEIGHT, 2 * WIDTH, info).xmp)
    assert after["mine:note"] == ["stays"]
    assert "http://ns.adobe.com/xmp/note/:HasExtendedXMP" not in after


def test_a_packet_too_large_for_a_segment_gets_an_extension_segment(tmp_path):
    stated = packet(
        f"<mine:small>kept</mine:small><mine:large>{'large' * 40_000}</mine:large>"
        f"<mine:other>{'o' * 9000}</mine:other>",
        attributes="tiff:ImageWidth='80'",
    )
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "in.webp", xmp=stated)
    result = upsample_file(tmp_path / "in.webp", tmp_path / "out.jpg", factor=2)
    assert lines(result.losses) == ()
    with Image.open(tmp_path / "out.jpg") as image:
        main = image.info["xmp"]
    assert set(read(main)) & {"mine:small", "mine:large"} == {"mine:small"}
    data = (tmp_path / "out.jpg").read_bytes()
    assert data.count(b"http://ns.adobe.com/xmp/extension/\0") == 4
    info, metadata = read_header(tmp_path / "out.jpg")
    assert info.losses == ()
    found = read(metadata.xmp)
    assert (found["mine:large"], found["mine:other"]) == (["large" * 40_000], ["o" * 9000])
    assert found["tiff:ImageWidth"] == [str(2 * WIDTH)]
    assert "http://ns.adobe.com/xmp/note/:HasExtendedXMP" not in found


def test_a_packet_that_cannot_be_divided_is_reported(tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "in.webp", xmp=packet(attributes=f"mine:a='{'a' * 70_000}'"))
    result = upsample_file(tmp_path / "in.webp", tmp_path / "out.jpg", factor=2)
    assert [str(loss)[:37] for loss in result.losses] == ["JPEG holds at most 65504 bytes of XMP"]
