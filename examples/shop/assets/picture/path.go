package picture

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// point is a place in a picture, y downwards.
type point struct{ x, y float64 }

// polygon is a sequence of points; a closed one ends where it starts.
type polygon []point

// curveSteps is how many lines stand for a Bézier curve. A quarter of the largest circle here is
// then never further than a tenth of a pixel from its lines.
const curveSteps = 24

// flatten reads a path and returns the lines that stand for it. It knows the commands M, L, Q, C
// and Z of SVG, with absolute coordinates and one set of arguments each.
func flatten(path string) ([]polygon, error) {
	var all []polygon
	var current polygon
	fields := strings.Fields(path)
	for len(fields) > 0 {
		command := fields[0][0]
		fields[0] = fields[0][1:]
		if fields[0] == "" {
			fields = fields[1:]
		}
		count, known := map[byte]int{'M': 1, 'L': 1, 'Q': 2, 'C': 3, 'Z': 0}[command]
		if !known {
			return nil, fmt.Errorf("path %q has the command %q", path, command)
		}
		points, err := readPoints(fields, count)
		if err != nil {
			return nil, fmt.Errorf("path %q: %w", path, err)
		}
		fields = fields[2*count:]
		if command != 'M' && len(current) == 0 {
			return nil, fmt.Errorf("path %q does not begin with M", path)
		}
		switch command {
		case 'M':
			if len(current) > 1 {
				all = append(all, current)
			}
			current = polygon{points[0]}
		case 'Z':
			current = append(current, current[0])
		default:
			current = append(current, curve(current[len(current)-1], points)...)
		}
	}
	if len(current) > 1 {
		all = append(all, current)
	}
	return all, nil
}

func readPoints(fields []string, count int) ([]point, error) {
	if len(fields) < 2*count {
		return nil, fmt.Errorf("ends within a command")
	}
	points := make([]point, count)
	for i := range points {
		x, errX := strconv.ParseFloat(fields[2*i], 64)
		y, errY := strconv.ParseFloat(fields[2*i+1], 64)
		if errX != nil || errY != nil {
			return nil, fmt.Errorf("%q and %q are not a point", fields[2*i], fields[2*i+1])
		}
		points[i] = point{x, y}
	}
	return points, nil
}

// curve returns the points after from on a Bézier curve of any degree, by de Casteljau's method.
func curve(from point, controls []point) []point {
	if len(controls) == 1 {
		return controls
	}
	var line []point
	for step := 1; step <= curveSteps; step++ {
		t := float64(step) / curveSteps
		rest := append([]point{from}, controls...)
		for len(rest) > 1 {
			for i := range len(rest) - 1 {
				rest[i] = point{
					rest[i].x + t*(rest[i+1].x-rest[i].x),
					rest[i].y + t*(rest[i+1].y-rest[i].y),
				}
			}
			rest = rest[:len(rest)-1]
		}
		line = append(line, rest[0])
	}
	return line
}

// turn rotates points around the middle of the picture.
func (p polygon) turn(degrees float64) {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	for i, q := range p {
		x, y := q.x-Side/2, q.y-Side/2
		p[i] = point{Side/2 + x*cos - y*sin, Side/2 + x*sin + y*cos}
	}
}

// outline returns polygons that together cover what a round pen of the given width covers. All
// of them go around the same way, so that where they overlap they count as covered.
func (p polygon) outline(width float64) []polygon {
	var all []polygon
	r := width / 2
	for i, a := range p {
		dot := polygon{}
		for _, q := range Ring(max(8, int(r)*4), a.x, a.y, r) {
			dot = append(dot, point{q[0], q[1]})
		}
		all = append(all, dot)
		if i == 0 {
			continue
		}
		b := p[i-1]
		length := math.Hypot(a.x-b.x, a.y-b.y)
		if length == 0 {
			continue
		}
		nx, ny := (a.y-b.y)/length*r, (b.x-a.x)/length*r
		all = append(all, polygon{
			{b.x + nx, b.y + ny}, {a.x + nx, a.y + ny}, {a.x - nx, a.y - ny}, {b.x - nx, b.y - ny},
		})
	}
	return all
}
