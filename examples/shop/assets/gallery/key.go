package gallery

import "github.com/divisi-go/divisi/examples/shop/assets/picture"

// keyboard draws white keys, and the black ones between them as on every keyboard from C.
func keyboard(p *picture.Picture, x, y, width, height float64, keys int) {
	step := width / float64(keys)
	for i := range keys {
		p.Fill(cream, picture.Rect(x+step*float64(i)+1, y, step-2, height, 4))
	}
	for i := range keys - 1 {
		if octave := i % 7; octave != 2 && octave != 6 {
			p.Fill(ink, picture.Rect(x+step*(float64(i)+0.68), y-2, step*0.64, height*0.6, 3))
		}
	}
}

func toyPiano() *picture.Picture {
	p := picture.New("#f6e3b4", "#fbf0d3")
	p.Fill(shade, picture.Ellipse(240, 424, 170, 16))
	red, dark := "#c8443c", "#992f2b"
	p.Fill(dark, picture.Rect(104, 330, 22, 94, 6), picture.Rect(354, 330, 22, 94, 6))
	p.Fill(dark, picture.Rect(96, 104, 288, 240, 14))
	p.Fill(red, picture.Rect(88, 92, 304, 166, 14))
	p.Fill("#e06a5f", picture.Rect(88, 92, 304, 26, 12))
	p.Fill(cream, picture.Rect(150, 138, 180, 92, 4))
	for i := range 5 {
		y := 160 + 12*float64(i)
		p.Stroke(ink, 1.5, picture.Line(162, y, 318, y))
	}
	for _, note := range [][2]float64{{190, 196}, {226, 184}, {262, 190}, {296, 172}} {
		p.Fill(ink, picture.Ellipse(note[0], note[1], 8, 6))
		p.Stroke(ink, 2.5, picture.Line(note[0]+7, note[1], note[0]+7, note[1]-32))
	}
	p.Fill(red, picture.Rect(76, 258, 328, 92, 10))
	keyboard(p, 94, 264, 292, 66, 12)
	p.Fill(red, picture.Rect(76, 334, 328, 20, 8))
	p.Fill(ink, picture.Rect(208, 402, 24, 14, 4), picture.Rect(248, 402, 24, 14, 4))
	return p
}

func melodica() *picture.Picture {
	p := picture.New("#cfe0ee", "#e1edf6")
	p.Fill(shade, picture.Ellipse(244, 354, 190, 18))
	p.Turn(-12)
	p.Stroke("#f2b84b", 14, "M66 236 C30 236 28 176 62 158 C96 140 130 160 120 120")
	p.Fill(ink, picture.Rect(108, 88, 24, 40, 8))
	p.Fill("#1f4e79", picture.Rect(60, 188, 372, 140, 24))
	p.Fill("#2d6ca3", picture.Rect(60, 182, 372, 124, 24))
	p.Fill("#1f4e79", picture.Rect(86, 196, 322, 16, 8))
	for i := range 14 {
		p.Fill("#12324f", picture.Rect(96+22*float64(i), 200, 12, 8, 3))
	}
	keyboard(p, 84, 220, 326, 78, 15)
	p.Fill(light, picture.Rect(78, 186, 336, 5, 2))
	return p
}

func kalimba() *picture.Picture {
	p := picture.New("#e9d8e8", "#f4e9f3")
	p.Fill(shade, picture.Ellipse(240, 438, 130, 14))
	p.Fill("#7b4a21", picture.Rect(124, 94, 232, 346, 40))
	p.Fill("#a9692f", picture.Rect(124, 84, 232, 344, 40))
	p.Stroke("#8f5625", 3, "M146 170 Q150 270 142 392", "M334 150 Q326 260 338 380",
		"M176 300 Q172 350 178 408", "M302 320 Q308 360 300 412")
	p.Fill("#5c3515", picture.Circle(240, 334, 39))
	p.Fill(ink, picture.Circle(240, 336, 34))
	p.Fill(gold, picture.Rect(146, 140, 188, 12, 5))
	for i := range 11 {
		offset := float64(i - 5)
		length := 168 - 15*max(offset, -offset)
		x := 240 + 17*offset
		p.Fill("#8d98a1", picture.Rect(x-5, 112, 12, length, 6))
		p.Fill(silver, picture.Rect(x-6, 108, 12, length, 6))
		p.Fill("#8d98a1", picture.Circle(x, 108+length-12, 3))
	}
	p.Fill(steel, picture.Rect(142, 164, 196, 9, 4))
	return p
}

func concertina() *picture.Picture {
	p := picture.New("#d9e2d0", "#e9efe3")
	p.Fill(shade, picture.Ellipse(240, 404, 190, 16))
	for i := range 7 {
		x := 142 + 28*float64(i)
		color := []string{"#6d2b3a", "#8a3a4b"}[i%2]
		p.Fill(color, picture.Polygon([][2]float64{{x, 142}, {x + 14, 128}, {x + 28, 142},
			{x + 28, 362}, {x + 14, 376}, {x, 362}}))
		p.Stroke(gold, 2, picture.Line(x+14, 130, x+14, 374))
	}
	for _, x := range []float64{62, 338} {
		p.Fill("#3b2018", picture.Rect(x, 116, 84, 272, 18))
		p.Fill("#5a3324", picture.Rect(x+6, 122, 72, 260, 14))
		for row := range 5 {
			for column := range 2 {
				cx, cy := x+28+28*float64(column), 174+38*float64(row)+10*float64(column)
				p.Fill(ink, picture.Circle(cx, cy+3, 11))
				p.Fill(cream, picture.Circle(cx, cy, 10))
			}
		}
		p.Stroke(gold, 3, picture.Rect(x+12, 130, 60, 244, 10))
	}
	p.Stroke(ink, 12, "M66 178 C26 200 26 304 66 326", "M418 178 C458 200 458 304 418 326")
	return p
}
