package picture

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"slices"
	"strconv"
)

// subRows is how many lines are sampled in a row of pixels. Along a line, coverage is exact.
const subRows = 5

// PNG returns the picture as a PNG file.
func (p *Picture) PNG() ([]byte, error) {
	painted, err := p.Paint()
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&file, painted); err != nil {
		return nil, fmt.Errorf("cannot encode a picture: %w", err)
	}
	return file.Bytes(), nil
}

// Paint returns the picture as pixels, all of them opaque.
func (p *Picture) Paint() (*image.RGBA, error) {
	canvas := image.NewRGBA(image.Rect(0, 0, Side, Side))
	for _, s := range p.shapes {
		ink, err := parseColor(s.color)
		if err != nil {
			return nil, err
		}
		polygons, err := flatten(s.path)
		if err != nil {
			return nil, err
		}
		var area []polygon
		for _, polygon := range polygons {
			polygon.turn(s.turn)
			if s.width > 0 {
				area = append(area, polygon.outline(s.width)...)
			} else {
				area = append(area, polygon)
			}
		}
		fill(canvas, area, ink)
	}
	return canvas, nil
}

func parseColor(text string) (color.NRGBA, error) {
	digits := text
	if len(text) == len("#rrggbb") {
		digits += "ff"
	}
	n, err := strconv.ParseUint(digits[min(1, len(digits)):], 16, 32)
	if err != nil || len(digits) != len("#rrggbbaa") || digits[0] != '#' {
		return color.NRGBA{}, fmt.Errorf("%q is not a colour", text)
	}
	return color.NRGBA{uint8(n >> 24), uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil
}

// edge is a side of a polygon, from its upper to its lower end.
type edge struct {
	top, bottom point
	winding     int
}

// crossing is where a line of samples meets an edge.
type crossing struct {
	x       float64
	winding int
}

// fill paints the area that polygons go around: once or more, in sum (the "nonzero" rule).
func fill(canvas *image.RGBA, area []polygon, ink color.NRGBA) {
	edges := edgesOf(area)
	if len(edges) == 0 {
		return
	}
	first := edges[0].top.y
	last := slices.MaxFunc(edges, func(a, b edge) int { return cmp.Compare(a.bottom.y, b.bottom.y) }).bottom.y
	steps := make([]float64, Side+2)
	var crossings []crossing
	for row := max(0, int(first)); row < min(Side, int(last)+1); row++ {
		clear(steps)
		for sub := range subRows {
			y := float64(row) + (float64(sub)+0.5)/subRows
			crossings = crossings[:0]
			for _, e := range edges {
				if e.top.y > y {
					break // they are sorted by their tops
				}
				if y < e.bottom.y {
					x := e.top.x + (y-e.top.y)/(e.bottom.y-e.top.y)*(e.bottom.x-e.top.x)
					crossings = append(crossings, crossing{x, e.winding})
				}
			}
			slices.SortFunc(crossings, func(a, b crossing) int { return cmp.Compare(a.x, b.x) })
			winding := 0
			for i, c := range crossings {
				if winding != 0 {
					step(steps, crossings[i-1].x, 1)
					step(steps, c.x, -1)
				}
				winding += c.winding
			}
		}
		coverage := 0.0
		for x := range Side {
			if coverage += steps[x]; coverage > 1e-6 {
				blend(canvas, x, row, ink, coverage/subRows)
			}
		}
	}
}

func edgesOf(area []polygon) []edge {
	var edges []edge
	for _, p := range area {
		for i, b := range p {
			a := p[(i+len(p)-1)%len(p)]
			switch {
			case a.y < b.y:
				edges = append(edges, edge{a, b, 1})
			case a.y > b.y:
				edges = append(edges, edge{b, a, -1})
			}
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.top.y, b.top.y) })
	return edges
}

// step notes that from a place on, a line is covered, or with a sign of -1 no longer is. Steps
// hold by how much the coverage of each pixel differs from that of the one before, so that a wide
// area costs no more than a narrow one.
func step(steps []float64, x, sign float64) {
	x = min(max(x, 0), Side)
	pixel := int(x)
	share := x - float64(pixel)
	steps[pixel] += sign * (1 - share)
	steps[pixel+1] += sign * share
}

// blend mixes ink into an opaque pixel.
func blend(canvas *image.RGBA, x, y int, ink color.NRGBA, share float64) {
	at := canvas.PixOffset(x, y)
	pixel := canvas.Pix[at : at+4]
	share = min(share, 1) * float64(ink.A) / 255
	if share > 0.999 {
		pixel[0], pixel[1], pixel[2], pixel[3] = ink.R, ink.G, ink.B, 255
		return
	}
	for i, value := range [4]uint8{ink.R, ink.G, ink.B, 255} {
		old := float64(pixel[i])
		pixel[i] = uint8(old + (float64(value)-old)*share + 0.5)
	}
}
