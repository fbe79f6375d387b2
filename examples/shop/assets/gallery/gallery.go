// Package gallery holds the shop's pictures, drawn by code: one for every product, and the
// shop's own sign.
package gallery

import (
	"maps"
	"slices"

	"github.com/divisi-go/divisi/examples/shop/assets/picture"
)

// The colours that pictures have in common.
const (
	ink    = "#3a2a22"
	cream  = "#fff8ea"
	shade  = "#3a2a2233" // a shadow on the ground
	gold   = "#d9a441"
	steel  = "#b9c2c9"
	silver = "#e4eaee"
	light  = "#ffffff66" // a reflection
)

// drawings are the pictures by name: those of products are named as the products are.
var drawings = map[string]func() *picture.Picture{
	"cello":        cello,
	"clarinet":     clarinet,
	"concertina":   concertina,
	"duets":        duets,
	"frame-drum":   frameDrum,
	"glockenspiel": glockenspiel,
	"harmonica":    harmonica,
	"kalimba":      kalimba,
	"melodica":     melodica,
	"metronome":    metronome,
	"ocarina":      ocarina,
	"recorder":     recorder,
	"rounds":       rounds,
	"sign":         sign,
	"toy-piano":    toyPiano,
	"triangle":     triangle,
	"tuning-fork":  tuningFork,
	"ukulele":      ukulele,
	"violin":       violin,
}

// Names returns the names of all pictures, sorted.
func Names() []string { return slices.Sorted(maps.Keys(drawings)) }

// Draw returns the picture with a name, or nil if there is none.
func Draw(name string) *picture.Picture {
	if draw, ok := drawings[name]; ok {
		return draw()
	}
	return nil
}

// sign is two notes that share one beam: the players of a section that divides.
func sign() *picture.Picture {
	p := picture.New("#7a2e3a", "#8f3a48")
	p.Fill(cream, "M176 112 L352 76 L352 128 L176 164 Z")
	p.Fill(cream, picture.Rect(168, 112, 18, 220, 8), picture.Rect(342, 80, 18, 220, 8))
	p.Turn(-18)
	p.Fill(cream, picture.Ellipse(118, 310, 50, 36))
	p.Fill(gold, picture.Ellipse(294, 334, 50, 36))
	return p
}
