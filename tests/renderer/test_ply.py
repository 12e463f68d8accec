"""What is written is read back, bit for bit; what others write is read; what lies is refused."""

import json
import os
import struct
import tracemalloc

import numpy as np
import pytest
import torch
from plyfile import PlyData, PlyElement

from renderer.camera import OrbitRig
from renderer.errors import LoadError, SaveError
from renderer.formats import read_head
from renderer.formats.frames import mirrored
from renderer.formats.ply import PROFILES, inspect_ply, read_ply, write_ply
from renderer.gaussians import Gaussians
from renderer.rasterize import rasterize
from tests.conftest import some_splats

FIELDS = ("means", "log_scales", "quats", "opacity_logits", "sh")
NAMES = [*"xyz", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
NAMES += ["scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]


def assert_same_bits(first, second):
    for name in FIELDS:
        a, b = getattr(first, name), getattr(second, name)
        assert a.shape == b.shape, name
        assert torch.equal(a.view(torch.int32), b.view(torch.int32)), name


def padded(head, bases):
    zeros = torch.zeros(head.count, bases - head.sh.shape[1], 3)
    return Gaussians(*(getattr(head, n) for n in FIELDS[:4]), torch.cat([head.sh, zeros], dim=1))


def columns_of(head):
    """The head as a dict of named columns, the way other programs see it."""
    table = torch.cat(
        [
            *(head.means, torch.zeros(head.count, 3), head.sh[:, 0]),
            *(head.opacity_logits[:, None], head.log_scales, head.quats),
        ],
        dim=1,
    ).numpy()
    columns = dict(zip(NAMES, table.T, strict=True))
    rest = head.sh[:, 1:].mT.flatten(1).numpy().T
    return columns | {f"f_rest_{i}": column for i, column in enumerate(rest)}


def write_with_plyfile(path, columns, types=None, before=(), after=(), **options):
    kinds = [(name, (types or {}).get(name, "f4")) for name in columns]
    table = np.zeros(len(columns["y"]), kinds)
    for name, column in columns.items():
        table[name] = column
    elements = [*before, PlyElement.describe(table, "vertex"), *after]
    PlyData(elements, **options).write(str(path))


def header_of(path):
    return path.read_bytes().split(b"end_header\n")[0].decode("ascii").splitlines()


def unity_import(path):
    """What UnityGaussianSplatting 1.1.1 does with a header: a stride and named offsets."""
    content = path.read_bytes()
    lines = content[: content.index(b"end_header\n")].decode("ascii").split("\n")[:-1]
    assert lines[0] == "ply"
    count, stride, offsets, little = 0, 0, {}, False
    for line in lines[1:]:
        words = line.split(" ")
        if words[0] == "format":
            little = words[1:] == ["binary_little_endian", "1.0"]
        elif words[0] == "element" and words[1] == "vertex":
            count = int(words[2])
        elif words[0] == "property":  # of any element: there must be no second one
            size = {"float": 4, "double": 8, "uchar": 1}[words[1]]
            offsets[words[2]] = (stride, words[1])
            stride += size
    assert little, "only little-endian files are read"
    required = {*"xyz", "opacity"} | {f"f_dc_{i}" for i in range(3)}
    required |= {f"scale_{i}" for i in range(3)} | {f"rot_{i}" for i in range(4)}
    assert required <= {name for name, (_, kind) in offsets.items() if kind == "float"}
    rest = [name for name in offsets if name.startswith("f_rest_")]
    assert len(rest) in (0, 45), "degree 1 and 2 are read as if they were degree 3"
    body = content[content.index(b"end_header\n") + len("end_header\n") :]
    assert len(body) == count * stride < 2**31

    def column(name):
        at = offsets[name][0]
        return [struct.unpack_from("<f", body, row * stride + at)[0] for row in range(count)]

    return column, stride


# --- round trips


@pytest.mark.parametrize("bases", [1, 4, 9, 16])
def test_what_is_written_is_read_back_bit_for_bit(tmp_path, bases):
    head = some_splats(bases=bases)

    assert write_ply(tmp_path / "head.ply", head) == 0

    assert_same_bits(read_ply(tmp_path / "head.ply"), head)


@pytest.mark.parametrize("bases", [1, 4, 9, 16])
@pytest.mark.parametrize("key", PROFILES)
def test_every_profile_comes_back_through_its_inverse_frame(tmp_path, key, bases):
    head, profile = some_splats(bases=bases), PROFILES[key]
    write_ply(tmp_path / "head.ply", head, profile)

    stored = read_ply(tmp_path / "head.ply", frame="")
    back = mirrored(stored, profile.frame)

    # Zeros may be padded; they come back as the zeros they are, of either sign.
    assert torch.equal(back.sh[:, bases:], torch.zeros_like(back.sh[:, bases:]))
    assert_same_bits(
        Gaussians(*(getattr(back, name) for name in FIELDS[:4]), back.sh[:, :bases]), head
    )
    if profile.frame:
        assert not torch.equal(stored.means, head.means)


@pytest.mark.parametrize("key", PROFILES)
def test_a_file_of_ours_opens_upright_whatever_program_it_was_for(tmp_path, key):
    head = some_splats()
    write_ply(tmp_path / "head.ply", head, PROFILES[key])

    back = read_head(tmp_path / "head.ply")

    assert torch.equal(back.means, head.means)
    assert torch.equal(back.quats, head.quats)


def test_a_head_turned_for_supersplat_and_back_draws_the_same_picture(tmp_path):
    head, camera = some_splats(bases=4), OrbitRig(yaw=0.4, pitch=-0.3).camera()
    write_ply(tmp_path / "head.ply", head, PROFILES["supersplat"])

    before = rasterize(head, camera, (40, 28), backend="torch").color
    stored = read_ply(tmp_path / "head.ply", frame="")
    turned = rasterize(stored, camera, (40, 28), backend="torch").color
    back = rasterize(mirrored(stored, "yz"), camera, (40, 28), backend="torch").color

    assert torch.equal(before, back)
    assert not torch.allclose(before, turned, atol=0.05)


def test_the_columns_are_17_or_62_and_a_row_68_or_248_bytes(tmp_path):
    expected = {
        "unity": (17, 62),
        "unity-classic": (62, 62),
        "supersplat": (17, 26),
        "raw": (17, 26),
    }
    for key, counts in expected.items():
        for bases, count in zip((1, 4), counts, strict=True):
            write_ply(tmp_path / "head.ply", some_splats(bases=bases), PROFILES[key])
            header = header_of(tmp_path / "head.ply")
            names = [line.split()[2] for line in header if line.startswith("property float ")]
            assert len(names) == count, (key, bases)
            assert names == [*NAMES[:9], *(f"f_rest_{i}" for i in range(count - 17)), *NAMES[9:]]


def test_rows_that_are_not_splats_are_left_out_and_counted(tmp_path):
    head = some_splats()
    head.means[1, 2] = float("nan")
    head.log_scales[3, 0] = float("inf")
    head.quats[5] = 0

    dropped = write_ply(tmp_path / "head.ply", head)

    assert dropped == 3
    kept = torch.tensor([True, False, True, False, True, False, True])
    assert_same_bits(read_ply(tmp_path / "head.ply"), head.select(kept))


def test_a_head_without_a_splat_is_not_saved(tmp_path):
    (tmp_path / "head.ply").write_bytes(b"old")
    head = some_splats()

    with pytest.raises(SaveError, match="no splats are left"):
        write_ply(tmp_path / "head.ply", head.select(torch.zeros(7, dtype=torch.bool)))

    assert (tmp_path / "head.ply").read_bytes() == b"old"


def test_doubles_and_gradients_are_saved_as_plain_floats(tmp_path):
    head = some_splats().to(dtype=torch.float64).map(lambda tensor: tensor.requires_grad_())

    write_ply(tmp_path / "head.ply", head)

    assert_same_bits(read_ply(tmp_path / "head.ply"), some_splats())


def test_notes_are_ascii_lines_and_are_read_back(tmp_path):
    note = {"model": "Köpfe.safetensors", "seed": 3, "w": [0.5, -1.0], "text": "a\nend_header\nb"}
    write_ply(tmp_path / "head.ply", some_splats(), PROFILES["unity"], note)

    assert inspect_ply(tmp_path / "head.ply").note == note | {"profile": "unity", "frame": "z"}
    assert all(line.isascii() and len(line) < 120 for line in header_of(tmp_path / "head.ply"))
    assert read_ply(tmp_path / "head.ply").count == 7
    assert unity_import(tmp_path / "head.ply")


def test_a_raw_file_without_a_note_has_no_comments(tmp_path):
    write_ply(tmp_path / "head.ply", some_splats())

    assert not [line for line in header_of(tmp_path / "head.ply") if line.startswith("comment")]
    assert inspect_ply(tmp_path / "head.ply").note == {}


def test_a_note_called_frame_does_not_turn_the_head(tmp_path):
    write_ply(tmp_path / "head.ply", some_splats(), note={"frame": "z"})

    assert_same_bits(read_ply(tmp_path / "head.ply"), some_splats())


def test_foreign_and_hostile_notes_are_ignored(tmp_path):
    path = tmp_path / "head.ply"
    write_ply(path, some_splats())
    comments = [
        "splathead {",
        "splathead 3",
        "splathead " + "[" * 100_000,
        'splathead {"frame": 7}',
    ]
    lines = "".join(f"comment {comment}\n" for comment in [*comments, "made by hand"])
    path.write_bytes(path.read_bytes().replace(b"element", lines.encode() + b"element", 1))

    assert inspect_ply(path).note == {"frame": 7}
    assert_same_bits(read_ply(path), some_splats())


# --- an independent reader and Unity's


@pytest.mark.parametrize("bases", [1, 9])
def test_plyfile_reads_what_we_write(tmp_path, bases):
    head = some_splats(bases=bases)
    write_ply(tmp_path / "head.ply", head, note={"seed": 3})

    vertex = PlyData.read(str(tmp_path / "head.ply"))["vertex"]

    expected = columns_of(head)
    assert {prop.name for prop in vertex.properties} == set(expected)
    for name, column in expected.items():
        assert np.array_equal(vertex[name], column), name


@pytest.mark.parametrize("key", ["unity", "unity-classic"])
@pytest.mark.parametrize("bases", [1, 4, 9, 16])
def test_unity_finds_every_column_where_it_looks(tmp_path, key, bases):
    head = some_splats(bases=bases)
    write_ply(tmp_path / "head.ply", head, PROFILES[key], note={"seed": 3})

    column, stride = unity_import(tmp_path / "head.ply")

    # Unity is left-handed: z points away from the viewer, and turns change sense across z.
    assert column("z") == (-head.means[:, 2]).tolist()
    assert column("y") == head.means[:, 1].tolist()
    assert column("rot_1") == (-head.quats[:, 1]).tolist()
    assert column("rot_3") == head.quats[:, 3].tolist()
    assert column("scale_2") == head.log_scales[:, 2].tolist()
    assert stride == 248 if key == "unity-classic" or bases > 1 else stride == 68
    if bases > 1:  # basis 2 is odd in z; column 15·channel + basis - 1
        assert column("f_rest_16") == (-head.sh[:, 2, 1]).tolist()
        assert column("f_rest_30") == head.sh[:, 1, 2].tolist()


# --- what others write


@pytest.mark.parametrize("bases", [1, 4, 16])
@pytest.mark.parametrize("options", [{"text": True}, {"byte_order": ">"}, {"byte_order": "<"}])
def test_text_and_both_byte_orders_are_read(tmp_path, options, bases):
    head = some_splats(bases=bases)
    write_with_plyfile(tmp_path / "head.ply", columns_of(head), **options)

    assert_same_bits(read_ply(tmp_path / "head.ply"), head)


def test_columns_are_found_by_name_in_any_order(tmp_path):
    head = some_splats(bases=4)
    columns = columns_of(head)
    shuffled = [list(columns)[i] for i in np.random.default_rng(0).permutation(len(columns))]
    write_with_plyfile(tmp_path / "head.ply", {name: columns[name] for name in shuffled})

    assert_same_bits(read_ply(tmp_path / "head.ply"), head)


def test_normals_may_be_missing_and_other_columns_present(tmp_path):
    columns = columns_of(some_splats())
    for name in ("nx", "ny", "nz"):
        del columns[name]
    columns = {"red": np.arange(7), **columns, "label": np.arange(7)}
    write_with_plyfile(tmp_path / "head.ply", columns, types={"red": "u1", "label": "i4"})

    assert_same_bits(read_ply(tmp_path / "head.ply"), some_splats())


@pytest.mark.parametrize("kind", ["f8", "u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("options", [{"text": True}, {"byte_order": ">"}, {"byte_order": "<"}])
def test_every_number_type_is_read_by_its_value(tmp_path, kind, options):
    head = some_splats()
    head.opacity_logits[:] = torch.arange(7)
    head.sh[:, 0, 1] = torch.arange(7) * 3
    types = {"opacity": kind, "f_dc_1": kind}
    write_with_plyfile(tmp_path / "head.ply", columns_of(head), types=types, **options)

    assert_same_bits(read_ply(tmp_path / "head.ply"), head)


def test_a_double_beyond_float_is_infinite_and_nan_rows_are_kept(tmp_path):
    columns = columns_of(some_splats())
    columns["x"] = columns["x"].astype(np.float64)
    columns["x"][2] = 1e300
    columns["opacity"][4] = np.nan
    write_with_plyfile(tmp_path / "head.ply", columns, types={"x": "f8"})

    head = read_ply(tmp_path / "head.ply")

    assert head.count == 7
    assert head.finite().tolist() == [True, True, False, True, False, True, True]


@pytest.mark.parametrize("options", [{"text": True}, {"byte_order": ">"}, {"byte_order": "<"}])
def test_other_elements_before_and_after_are_skipped(tmp_path, options):
    camera = PlyElement.describe(np.ones(3, [("a", "f8"), ("b", "u1")]), "camera")
    faces = np.zeros(2, [("vertex_indices", "O"), ("flag", "u1")])
    faces["vertex_indices"] = [np.arange(3, dtype="i4"), np.arange(4, dtype="i4")]
    face = PlyElement.describe(faces, "face")
    write_with_plyfile(
        tmp_path / "head.ply", columns_of(some_splats()), before=[camera, face], after=[], **options
    )
    assert_same_bits(read_ply(tmp_path / "head.ply"), some_splats())

    write_with_plyfile(
        tmp_path / "head.ply", columns_of(some_splats()), before=[], after=[face, camera], **options
    )
    assert_same_bits(read_ply(tmp_path / "head.ply"), some_splats())


@pytest.mark.parametrize("options", [{"text": True}, {"byte_order": "<"}])
def test_a_header_with_windows_line_ends_and_comments_is_read(tmp_path, options):
    path = tmp_path / "head.ply"
    write_with_plyfile(
        path,
        columns_of(some_splats()),
        comments=["Vertical axis: y"],
        obj_info=["num 7"],
        **options,
    )
    header, body = path.read_bytes().split(b"end_header\n")
    path.write_bytes((header + b"end_header\n").replace(b"\n", b"\r\n") + body)

    assert_same_bits(read_ply(path), some_splats())


def test_flat_splats_get_a_thin_third_axis(tmp_path):
    columns = columns_of(some_splats())
    del columns["scale_2"]
    write_with_plyfile(tmp_path / "head.ply", columns)

    head = read_ply(tmp_path / "head.ply")

    assert torch.equal(head.log_scales[:, :2], some_splats().log_scales[:, :2])
    assert (head.scales[:, 2] < 1e-8).all()


def test_the_extension_chooses_the_reader(tmp_path):
    write_ply(tmp_path / "HEAD.PLY", some_splats())
    assert_same_bits(read_head(tmp_path / "HEAD.PLY"), some_splats())
    with pytest.raises(LoadError, match=r"Open one of: \.ply"):
        read_head(tmp_path / "head.obj")


# --- what is refused


def with_columns(path, change, **options):
    columns = columns_of(some_splats())
    change(columns)
    write_with_plyfile(path, columns, **options)


def refuse(path, words):
    with pytest.raises(LoadError, match=words) as caught:
        read_ply(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.isprintable()
    assert message.endswith(".")


def test_files_that_are_something_else_are_named(tmp_path):
    path = tmp_path / "head.ply"
    corners = {"x": np.zeros(3), "y": np.zeros(3), "z": np.zeros(3)}
    face = PlyElement.describe(
        np.array([(np.arange(3, dtype="i4"),)], [("vertex_indices", "O")]), "face"
    )
    write_with_plyfile(path, corners, after=[face])
    refuse(path, "is a mesh, not splats")
    write_with_plyfile(path, corners | {"red": np.zeros(3)})
    refuse(path, "point cloud")
    path.write_bytes(b"ply\nformat ascii 1.0\nelement edge 1\nproperty int a\nend_header\n1\n")
    refuse(path, "not splats")
    packed = "".join(
        f"property uint packed_{n}\n" for n in ("position", "rotation", "scale", "color")
    )
    path.write_bytes(
        b"ply\nformat binary_little_endian 1.0\nelement chunk 1\nproperty float min_x\n"
        b"element vertex 1\n" + packed.encode() + b"end_header\n" + bytes(20)
    )
    refuse(path, "compressed PlayCanvas .* SuperSplat")
    path.write_bytes(b"\x89PNG\r\n")
    refuse(path, "is not a .ply file")
    path.write_bytes(b"")
    refuse(path, "is empty")
    refuse(tmp_path, "folder")
    refuse(tmp_path / "nowhere.ply", "does not exist")


@pytest.mark.parametrize("name", ["opacity", "x", "f_dc_2", "scale_1", "rot_3"])
def test_a_missing_column_is_named(tmp_path, name):
    with_columns(tmp_path / "head.ply", lambda columns: columns.pop(name))

    refuse(tmp_path / "head.ply", f"lacks columns of a splat .ply: '{name}'")


@pytest.mark.parametrize("count", [1, 8, 46, 72])
def test_a_number_of_sh_columns_that_is_no_degree_is_refused(tmp_path, count):
    with_columns(
        tmp_path / "head.ply",
        lambda columns: columns.update({f"f_rest_{i}": np.zeros(7) for i in range(count)}),
    )

    refuse(tmp_path / "head.ply", f"has {count} columns f_rest")


def test_sh_columns_with_a_gap_are_refused(tmp_path):
    with_columns(
        tmp_path / "head.ply",
        lambda columns: columns.update({f"f_rest_{i}": np.zeros(7) for i in range(1, 10)}),
    )

    refuse(tmp_path / "head.ply", "f_rest")


@pytest.mark.parametrize("kind", ["binary", "text", "lists"])
def test_a_file_cut_anywhere_is_refused(tmp_path, kind):
    path = tmp_path / "head.ply"
    faces = np.zeros(2, [("vertex_indices", "O")])
    faces["vertex_indices"] = [np.arange(3, dtype="i4"), np.arange(4, dtype="i4")]
    before = [PlyElement.describe(faces, "face")] if kind == "lists" else []
    write_with_plyfile(path, columns_of(some_splats()), before=before, text=kind == "text")
    whole = path.read_bytes()
    # Of text, the last digits may be missing unnoticed: a shorter number is a number.
    end = len(whole) - (len(whole.splitlines()[-1].split()[-1]) + 1 if kind == "text" else 0)
    for length in sorted({*range(0, end, 41), *range(end - 5, end)}):
        path.write_bytes(whole[:length])
        with pytest.raises(LoadError):
            read_ply(path)


HEAD_OF_FILE = "ply\nformat {}\n"
COLUMNS = "".join(f"property float {name}\n" for name in NAMES)


@pytest.mark.parametrize(
    "header",
    [
        "element vertex 1000000000000000000\n" + COLUMNS,
        "element vertex " + "9" * 5000 + "\n" + COLUMNS,
        "element vertex -7\n" + COLUMNS,
        "element vertex 7.0\n" + COLUMNS,
        "element vertex 0\n" + COLUMNS,
        "element before 1000000000000000000\nproperty double a\nelement vertex 1\n" + COLUMNS,
        "element before 1000000000000000000\nproperty list uchar int a\nelement vertex 1\n"
        + COLUMNS,
        "element before 2\nproperty list int double a\nelement vertex 1\n" + COLUMNS,
        "element before 2\nproperty list uint double a\nelement vertex 1\n" + COLUMNS,
        "element before 2\nproperty list float int a\nelement vertex 1\n" + COLUMNS,
        "element vertex 1\nproperty list uchar int a\n" + COLUMNS,
        "element vertex 1\nproperty float x\n" + COLUMNS,
        "element vertex 1\nproperty quad w\n" + COLUMNS,
        "property float early\nelement vertex 1\n" + COLUMNS,
        "element vertex 1\nnonsense\n" + COLUMNS,
        "element vertex 1\n" + "property float a\n" * 70_000,
        "element vertex 1\n" + "\x00\xff" * 600_000,
    ],
)
@pytest.mark.parametrize(
    "order", ["ascii 1.0", "binary_little_endian 1.0", "binary_big_endian 1.0"]
)
def test_headers_that_lie_are_refused_before_anything_is_allocated(tmp_path, header, order):
    path = tmp_path / "head.ply"
    text = HEAD_OF_FILE.format(order) + header + "end_header\n"
    path.write_bytes(text.encode("latin-1") + b"\xff" * 64)

    tracemalloc.start()
    try:
        refuse(path, "cut short|means nothing|holds no|two columns|without an end")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 20e6  # bytes; the megabyte that a header may have, and its parts


@pytest.mark.parametrize("order", ["", "format ascii 2.0\n", "format binary_middle_endian 1.0\n"])
def test_an_unknown_format_is_refused(tmp_path, order):
    path = tmp_path / "head.ply"
    path.write_text(f"ply\n{order}element vertex 1\n{COLUMNS}end_header\n")

    refuse(path, "does not say its format|means nothing")


def test_a_header_without_an_end_is_read_no_further_than_a_megabyte(tmp_path):
    path = tmp_path / "head.ply"
    with open(path, "wb") as file:
        file.write(b"ply\nformat ascii 1.0\ncomment ")
        file.truncate(1 << 40)  # a terabyte, of which the disk holds one block
    if os.stat(path).st_size != 1 << 40:
        pytest.skip("this disk cannot hold a file with a hole")

    refuse(path, "without an end")


def test_an_element_of_no_columns_is_skipped_however_many_rows_it_claims(tmp_path):
    path = tmp_path / "head.ply"
    write_ply(path, some_splats())
    lie = b"element nothing 1000000000000000000\nelement vertex"
    path.write_bytes(path.read_bytes().replace(b"element vertex", lie, 1))

    assert_same_bits(read_ply(path), some_splats())


@pytest.mark.parametrize("row", ["1 2 3", "word " * 17, "1 " * 18, "1.5.2 " * 17])
def test_rows_of_text_that_are_not_numbers_are_refused(tmp_path, row):
    path = tmp_path / "head.ply"
    path.write_text(f"ply\nformat ascii 1.0\nelement vertex 1\n{COLUMNS}end_header\n{row}\n")

    refuse(path, "not 17 numbers")


def test_each_profile_has_a_label_and_a_sentence_for_the_menu():
    for key, profile in PROFILES.items():
        assert profile.key == key
        assert profile.label
        assert profile.help.endswith(".")
    assert json.dumps(list(PROFILES)) == '["unity", "unity-classic", "supersplat", "raw"]'
