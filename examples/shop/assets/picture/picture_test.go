package picture

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"testing"
)

func paint(t *testing.T, p *Picture) *image.RGBA {
	t.Helper()
	painted, err := p.Paint()
	if err != nil {
		t.Fatal(err)
	}
	return painted
}

func TestPNG(t *testing.T) {
	p := New("#102030", "#405060")
	file, err := p.PNG()
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	painted := paint(t, p)
	for i := range Side {
		if at8(decoded, i, i) != at8(painted, i, i) {
			t.Fatalf("pixel %d,%d is %v, painted %v", i, i, decoded.At(i, i), painted.At(i, i))
		}
	}
}

func at8(painted image.Image, x, y int) color.NRGBA {
	return color.NRGBAModel.Convert(painted.At(x, y)).(color.NRGBA)
}

func TestPaint(t *testing.T) {
	p := New("#000000", "#000000")
	p.Fill("#ff0000", Rect(10, 10, 100, 50, 0))
	p.Fill("#00ff0080", Rect(60, 10, 100, 50, 8))
	p.Stroke("#0000ff", 10, Line(200, 300, 400, 300))
	p.Fill("#ffffff", Rect(20.25, 200, 10.5, 10, 0))
	p.Turn(90)
	p.Fill("#ffff00", Rect(20, 20, 40, 10, 0))
	painted := paint(t, p)
	for _, test := range []struct {
		what string
		x, y int
		want color.NRGBA
	}{
		{"ground", 2, 2, color.NRGBA{0, 0, 0, 255}},
		{"inside", 30, 30, color.NRGBA{255, 0, 0, 255}},
		{"half covered by a second colour", 100, 30, color.NRGBA{127, 128, 0, 255}},
		{"rounded corner", 158, 59, color.NRGBA{0, 0, 0, 255}},
		{"below the pen", 300, 304, color.NRGBA{0, 0, 255, 255}},
		{"round end", 403, 300, color.NRGBA{0, 0, 255, 255}},
		{"beyond the pen", 300, 307, color.NRGBA{0, 0, 0, 255}},
		{"three quarters of a pixel", 20, 205, color.NRGBA{191, 191, 191, 255}},
		{"turned to the other side", 455, 40, color.NRGBA{255, 255, 0, 255}},
		{"turned away", 40, 25, color.NRGBA{255, 0, 0, 255}},
	} {
		if got := at8(painted, test.x, test.y); got != test.want {
			t.Errorf("%s: pixel %d,%d is %v, want %v", test.what, test.x, test.y, got, test.want)
		}
	}
}

// TestStrokeOverlap paints a closed thin loop: where parts of a stroke overlap they must not
// cancel each other out.
func TestStrokeOverlap(t *testing.T) {
	p := New("#000000", "#000000")
	p.Stroke("#ffffff", 40, Circle(240, 240, 15))
	painted := paint(t, p)
	for x := 210; x < 270; x++ {
		if got := at8(painted, x, 240); got.R != 255 {
			t.Fatalf("pixel %d,240 is %v, want white", x, got)
		}
	}
}

func TestOutside(t *testing.T) {
	p := New("#102030", "#102030")
	p.Fill("#ffffff", Rect(-100, -100, 700, 150, 0), Circle(470, 470, 60))
	painted := paint(t, p)
	if got := at8(painted, 479, 479); got.R != 255 {
		t.Errorf("the corner is %v, want white", got)
	}
}

func TestSVG(t *testing.T) {
	p := New("#102030", "#405060")
	p.Turn(12.5)
	p.Stroke("#ff000080", 3, Ellipse(100, 100, 20, 30))
	decoder := xml.NewDecoder(bytes.NewReader(p.SVG()))
	paths := 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "path" {
			paths++
		}
	}
	if paths != 3 {
		t.Errorf("%d paths, want 3", paths)
	}
}

func TestErrors(t *testing.T) {
	for _, path := range []string{"L1 2", "M1", "M1 2 A3 4", "M1 x", "M1 2 C3 4 5 6"} {
		p := New("#000000", "#000000")
		p.Fill("#ffffff", path)
		if _, err := p.PNG(); err == nil {
			t.Errorf("path %q is no error", path)
		}
	}
	for _, color := range []string{"", "#", "red", "#12345", "#1234567", "1234567", "#gggggg"} {
		p := New("#000000", "#000000")
		p.Fill(color, Rect(0, 0, 1, 1, 0))
		if _, err := p.PNG(); err == nil {
			t.Errorf("colour %q is no error", color)
		}
	}
}
