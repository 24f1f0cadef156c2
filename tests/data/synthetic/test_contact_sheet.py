from PIL import Image

from segtune.data.synthetic import contact_sheet


def test_contact_sheet_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(contact_sheet, "world_names", lambda: ("base", "fog"))
    monkeypatch.setattr(contact_sheet, "CROP_ROWS", 1)
    path = tmp_path / "images" / "sheet.jpg"
    contact_sheet.main(["--out", str(path)])
    assert "sheet.jpg" in capsys.readouterr().out
    assert Image.open(path).width == contact_sheet.WIDTH
