package gallery

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"testing"

	"github.com/divisi-go/divisi/examples/shop/assets/picture"
)

// TestPictures paints every picture and reads it as SVG, and checks that something is drawn on it.
func TestPictures(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			drawn := Draw(name)
			painted, err := drawn.Paint()
			if err != nil {
				t.Fatal(err)
			}
			if size := painted.Bounds().Size(); size.X != picture.Side || size.Y != picture.Side {
				t.Errorf("size %v", size)
			}
			colors := map[any]bool{}
			for x := range picture.Side {
				colors[painted.At(x, 240)] = true
			}
			if len(colors) < 4 {
				t.Errorf("%d colours across the middle: nothing is drawn there", len(colors))
			}
			decoder := xml.NewDecoder(bytes.NewReader(drawn.SVG()))
			for {
				if _, err := decoder.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestUnknown(t *testing.T) {
	if Draw("theremin") != nil {
		t.Error("there is a picture of a theremin")
	}
}
