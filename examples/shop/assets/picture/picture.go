// Package picture draws flat pictures: a list of filled and stroked paths, which can be written
// as SVG or painted as PNG and look the same.
package picture

import (
	"fmt"
	"math"
	"strings"
)

// Side is the width and height of every picture, in its own units and in pixels.
const Side = 480

// Picture is a list of shapes, painted one over the other.
type Picture struct {
	shapes []shape
	turn   float64
}

// shape is one path, filled if its width is zero and stroked with round ends otherwise.
type shape struct {
	path  string
	color string
	width float64
	turn  float64 // degrees, clockwise around the middle of the picture
}

// New returns a picture with a ground of one colour and a disc of another in the middle.
func New(ground, disc string) *Picture {
	p := &Picture{}
	p.Fill(ground, Rect(0, 0, Side, Side, 0))
	p.Fill(disc, Circle(240, 236, 186))
	return p
}

// Turn rotates what is drawn from now on around the middle, in degrees clockwise.
func (p *Picture) Turn(degrees float64) { p.turn = degrees }

// Fill paints the inside of paths; color is #rrggbb or #rrggbbaa.
func (p *Picture) Fill(color string, paths ...string) {
	for _, path := range paths {
		p.shapes = append(p.shapes, shape{path: path, color: color, turn: p.turn})
	}
}

// Stroke paints along paths with a round pen.
func (p *Picture) Stroke(color string, width float64, paths ...string) {
	for _, path := range paths {
		p.shapes = append(p.shapes, shape{path: path, color: color, width: width, turn: p.turn})
	}
}

// SVG returns the picture as an SVG file.
func (p *Picture) SVG() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">`+"\n",
		Side, Side, Side, Side)
	for _, s := range p.shapes {
		b.WriteString(`<path d="` + s.path + `"`)
		if s.width > 0 {
			fmt.Fprintf(&b, ` fill="none" stroke="%s" stroke-width="%g" stroke-linecap="round" stroke-linejoin="round"`,
				s.color, s.width)
		} else {
			fmt.Fprintf(&b, ` fill="%s"`, s.color)
		}
		if s.turn != 0 {
			fmt.Fprintf(&b, ` transform="rotate(%g %d %d)"`, s.turn, Side/2, Side/2)
		}
		b.WriteString("/>\n")
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// Circle returns the path of a circle.
func Circle(x, y, r float64) string { return Ellipse(x, y, r, r) }

// Ellipse returns the path of an ellipse, as four Bézier curves.
func Ellipse(x, y, rx, ry float64) string {
	const k = 0.5523 // the control points' distance that comes closest to a quarter circle
	return fmt.Sprintf("M%s C%s %s %s C%s %s %s C%s %s %s C%s %s %s Z",
		at(x, y-ry),
		at(x+k*rx, y-ry), at(x+rx, y-k*ry), at(x+rx, y),
		at(x+rx, y+k*ry), at(x+k*rx, y+ry), at(x, y+ry),
		at(x-k*rx, y+ry), at(x-rx, y+k*ry), at(x-rx, y),
		at(x-rx, y-k*ry), at(x-k*rx, y-ry), at(x, y-ry))
}

// Rect returns the path of a rectangle with corners rounded by the radius r.
func Rect(x, y, width, height, r float64) string {
	right, bottom := x+width, y+height
	if r == 0 {
		return fmt.Sprintf("M%s L%s L%s L%s Z", at(x, y), at(right, y), at(right, bottom), at(x, bottom))
	}
	return fmt.Sprintf("M%s L%s Q%s %s L%s Q%s %s L%s Q%s %s L%s Q%s %s Z",
		at(x+r, y), at(right-r, y), at(right, y), at(right, y+r),
		at(right, bottom-r), at(right, bottom), at(right-r, bottom),
		at(x+r, bottom), at(x, bottom), at(x, bottom-r),
		at(x, y+r), at(x, y), at(x+r, y))
}

// Line returns the path of a line.
func Line(x1, y1, x2, y2 float64) string { return fmt.Sprintf("M%s L%s", at(x1, y1), at(x2, y2)) }

// Ring returns n points' coordinates on a circle, the first one above the middle.
func Ring(n int, x, y, r float64) [][2]float64 {
	points := make([][2]float64, n)
	for i := range points {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		points[i] = [2]float64{x + r*sin, y - r*cos}
	}
	return points
}

// Polygon returns the path through points.
func Polygon(points [][2]float64) string {
	var b strings.Builder
	for i, p := range points {
		b.WriteString(map[bool]string{true: "M", false: " L"}[i == 0] + at(p[0], p[1]))
	}
	return b.String() + " Z"
}

// at writes a point with as many decimals as can be seen.
func at(x, y float64) string {
	return fmt.Sprintf("%g %g", math.Round(x*100)/100, math.Round(y*100)/100)
}
