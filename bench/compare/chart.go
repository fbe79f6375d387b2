package main

import (
	"fmt"
	"html"
	"strings"

	"github.com/divisi-go/divisi/bench/report"
)

const (
	chartWidth, chartBars = 760, 420 // of the whole, and of the longest bar
	chartLeft, barHeight  = 220, 14
)

// colours are those of the rivals.
var colours = []string{"#888888", "#0b6e4f", "#3d6fb6", "#9a5fb0", "#c98a1b", "#b5442e"}

// chart draws how many calls a second of processor time is good for: bars, the longest of each case the best.
func (o options) chart(all results) string {
	var body strings.Builder
	y := 24
	text := func(x, y int, anchor, what string) {
		fmt.Fprintf(&body, `<text x="%d" y="%d" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(what))
	}
	text(8, 16, "start", "Calls per second of processor time of both processes; medians")
	for _, m := range o.selected() {
		most := 0.0
		for _, r := range rivals {
			most = max(most, perSecond(all.rounds(m, r.name)))
		}
		if most == 0 {
			continue
		}

		y += barHeight
		text(8, y+barHeight-3, "start", m.String())
		for i, r := range rivals {
			rounds := all.rounds(m, r.name)
			if len(rounds) == 0 {
				continue
			}
			y += barHeight
			value := perSecond(rounds)
			long := int(value / most * chartBars)
			text(chartLeft-6, y+barHeight-3, "end", r.name)
			fmt.Fprintf(&body, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n",
				chartLeft, y+2, long, barHeight-3, colours[i%len(colours)])
			text(chartLeft+long+6, y+barHeight-3, "start", fmt.Sprintf("%.0f", value))
		}
		y += barHeight
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n"+
		`<rect width="100%%" height="100%%" fill="white"/>`+"\n%s</svg>\n", chartWidth, y+barHeight, body.String())
}

// perSecond is how many calls a second of processor time is good for.
func perSecond(rounds []result) float64 {
	if len(rounds) == 0 {
		return 0
	}
	return 1e6 / report.Median(each(rounds, result.cpu))
}
