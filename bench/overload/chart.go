package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/divisi-go/divisi/bench/report"
)

const (
	panelWidth, panelHeight = 340, 220
	panelLeft, panelTop     = 50, 40
)

var colours = map[string]string{"Divisi": "#0b6e4f", "gRPC": "#3d6fb6", "Service Weaver": "#b5442e"}

// panel is one of the two diagrams of the chart.
type panel struct {
	title  string
	column int     // of the case
	top    float64 // of the axis
	step   float64
}

// chart draws the first case: what is answered in time, and how late the late ones are, at each load.
func chart(outcomes []outcome) string {
	at := slices.IndexFunc(outcomes, func(o outcome) bool { return o.name == "overload" })
	if at < 0 {
		return ""
	}
	o := outcomes[at]
	var body strings.Builder
	for i, p := range []panel{
		{"answered in time, of the peak", 0, 1.2, 0.2},
		{"p99 of these in ms, of 50", 3, 60, 10},
	} {
		fmt.Fprintf(&body, `<g transform="translate(%d,%d)">`+"\n", panelLeft+i*(panelWidth+panelLeft+20), panelTop)
		p.draw(&body, &o)
		body.WriteString("</g>\n")
	}
	x := panelLeft
	for _, s := range systems {
		fmt.Fprintf(&body, `<rect x="%d" y="8" width="12" height="12" fill="%s"/><text x="%d" y="18">%s</text>`+"\n", x, colours[s.name], x+18, s.name)
		x += 130
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n"+
		`<rect width="100%%" height="100%%" fill="white"/>`+"\n%s</svg>\n", 2*(panelWidth+panelLeft)+60, panelTop+panelHeight+50, body.String())
}

func (p panel) draw(body *strings.Builder, o *outcome) {
	high := func(v float64) float64 { return panelHeight * (1 - min(v, p.top)/p.top) }
	for v := 0.0; v <= p.top+p.step/2; v += p.step {
		fmt.Fprintf(body, `<line x1="0" x2="%[1]d" y1="%.1[2]f" y2="%.1[2]f" stroke="#ddd"/><text x="-6" y="%.1[2]f" text-anchor="end">%.3[3]g</text>`+"\n",
			panelWidth, high(v), v)
	}
	fmt.Fprintf(body, `<text x="0" y="-8">%s</text>`+"\n", p.title)

	points := map[string][]string{}
	lines := o.lineNames()
	for i, line := range lines {
		x := float64(panelWidth) * (float64(i) + 0.5) / float64(len(lines))
		fmt.Fprintf(body, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x, panelHeight+16, strings.TrimSuffix(line, " times the peak"))
		for _, r := range o.results {
			if v := report.Median(r.column(p.column)); r.line == line && !math.IsNaN(v) {
				points[r.system] = append(points[r.system], fmt.Sprintf("%.1f,%.1f", x, high(v)))
			}
		}
	}
	fmt.Fprintf(body, `<text x="%d" y="%d" text-anchor="middle">calls that come, of the peak</text>`+"\n", panelWidth/2, panelHeight+34)
	for _, s := range systems {
		fmt.Fprintf(body, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points[s.name], " "), colours[s.name])
	}
}
