package gallery

import "github.com/divisi-go/divisi/examples/shop/assets/picture"

// book draws a closed book or booklet with its spine on the left.
func book(p *picture.Picture, cover, spine string) {
	p.Fill(spine, picture.Rect(112, 76, 268, 352, 10))
	p.Fill(cream, picture.Rect(120, 82, 256, 342, 6))
	p.Fill(cover, picture.Rect(106, 68, 264, 352, 10))
	p.Fill(spine, picture.Rect(106, 68, 26, 352, 8))
}

// staff draws five lines and notes on them: a note's step counts half line distances upwards
// from the lowest line.
func staff(p *picture.Picture, x, y, width float64, color string, steps ...int) {
	for i := range 5 {
		line := y + 9*float64(i)
		p.Stroke(color, 1.6, picture.Line(x, line, x+width, line))
	}
	for i, step := range steps {
		cx := x + width*(float64(i)+0.7)/(float64(len(steps))+0.4)
		cy := y + 36 - 4.5*float64(step)
		stem := -26.0
		dx := 5.5
		if step > 4 {
			stem, dx = 26, -5.5
		}
		p.Fill(color, picture.Ellipse(cx, cy, 6.5, 5))
		p.Stroke(color, 2, picture.Line(cx+dx, cy, cx+dx, cy+stem))
	}
}

func duets() *picture.Picture {
	p := picture.New("#d6e2d8", "#e8f0e9")
	p.Fill(shade, picture.Ellipse(246, 440, 150, 12))
	p.Turn(-6)
	book(p, "#2f5d50", "#21443a")
	p.Fill(cream, picture.Rect(154, 108, 192, 214, 6))
	staff(p, 168, 142, 164, ink, 4, 6, 7, 5, 3)
	staff(p, 168, 246, 164, ink, 2, 1, 3, 5, 7)
	p.Stroke(ink, 3, picture.Line(168, 142, 168, 282))
	p.Fill(gold, picture.Circle(226, 368, 20), picture.Circle(272, 368, 20))
	p.Fill("#2f5d50", picture.Circle(226, 368, 14), picture.Circle(272, 368, 14))
	return p
}

func rounds() *picture.Picture {
	p := picture.New("#d3dff0", "#e5edf8")
	p.Fill(shade, picture.Ellipse(246, 440, 150, 12))
	p.Turn(5)
	book(p, "#e0a33e", "#b67c20")
	p.Stroke(cream, 5, picture.Circle(250, 210, 84))
	for i, at := range picture.Ring(6, 250, 210, 84) {
		color := []string{"#7a2e3a", "#2f5d50", "#1f4e79"}[i%3]
		p.Fill(color, picture.Ellipse(at[0], at[1]+6, 15, 11))
		p.Stroke(color, 4, picture.Line(at[0]+13, at[1]+6, at[0]+13, at[1]-34))
	}
	p.Stroke("#1f4e79", 5, "M214 352 C228 340 240 340 250 352 C260 364 274 364 290 352")
	for _, drop := range [][2]float64{{214, 196}, {246, 226}, {282, 192}, {232, 170}, {266, 160}} {
		x, y := drop[0], drop[1]
		p.Fill("#1f4e79", "M"+xy(x, y-10)+" C"+xy(x+9, y+2)+" "+xy(x+6, y+10)+" "+xy(x, y+10)+
			" C"+xy(x-6, y+10)+" "+xy(x-9, y+2)+" "+xy(x, y-10)+" Z")
	}
	return p
}
