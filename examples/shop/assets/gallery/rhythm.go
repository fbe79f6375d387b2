package gallery

import "github.com/divisi-go/divisi/examples/shop/assets/picture"

func frameDrum() *picture.Picture {
	p := picture.New("#f3d9b8", "#f8e8d2")
	p.Fill(shade, picture.Ellipse(240, 428, 150, 14))
	p.Fill("#6f3f1b", picture.Circle(240, 244, 172))
	p.Fill("#9c5f2c", picture.Circle(240, 238, 172))
	for _, at := range picture.Ring(8, 240, 238, 164) {
		p.Fill("#6f3f1b", picture.Circle(at[0], at[1], 15))
		p.Fill(gold, picture.Circle(at[0], at[1], 11))
		p.Fill("#b5822c", picture.Circle(at[0], at[1], 3.5))
	}
	p.Fill("#e8d3ab", picture.Circle(240, 238, 146))
	p.Fill("#f4e6c8", picture.Circle(240, 238, 138))
	p.Stroke("#c25b3a", 4, picture.Circle(240, 238, 96))
	for _, at := range picture.Ring(16, 240, 238, 112) {
		p.Fill("#c25b3a", picture.Circle(at[0], at[1], 4.5))
	}
	p.Stroke("#c25b3a", 4, picture.Polygon(picture.Ring(4, 240, 238, 78)))
	p.Fill("#c25b3a", picture.Polygon(picture.Ring(4, 240, 238, 34)))
	return p
}

func triangle() *picture.Picture {
	p := picture.New("#dbe7f0", "#eaf2f8")
	p.Fill(shade, picture.Ellipse(240, 424, 150, 14))
	p.Stroke("#b5482f", 5, "M238 42 C214 66 262 84 238 112")
	p.Stroke("#8d98a1", 22, "M220 352 L96 352 L238 112 L380 352 L268 352")
	p.Stroke(silver, 14, "M220 348 L96 348 L238 108 L380 348 L268 348")
	p.Stroke("#ffffff", 3, picture.Line(102, 338, 232, 118))
	p.Stroke("#8d98a1", 12, picture.Line(308, 214, 424, 92))
	p.Stroke(silver, 7, picture.Line(306, 211, 422, 89))
	p.Fill("#b5482f", picture.Circle(428, 84, 15))
	p.Stroke(gold, 4, "M286 176 Q276 166 268 168", "M262 202 Q250 198 244 204", "M300 148 Q298 136 290 132")
	return p
}

func glockenspiel() *picture.Picture {
	p := picture.New("#efe2d0", "#f7eee2")
	p.Fill(shade, picture.Ellipse(240, 394, 190, 16))
	p.Fill("#7b4a21", "M52 132 L428 190 L428 312 L52 372 Z")
	p.Fill("#c28a4c", "M60 142 L420 198 L420 304 L60 360 Z")
	colors := []string{"#c8443c", "#e0823d", "#e9b949", "#7fae4c", "#3b8a8f", "#3f6fae", "#6a4c9c", "#a8478c"}
	for i, color := range colors {
		x := 76 + 43*float64(i)
		inset := 7.2 * float64(i)
		p.Fill(shade, picture.Rect(x+3, 112+inset, 32, 280-2*inset, 6))
		p.Fill(color, picture.Rect(x, 106+inset, 32, 280-2*inset, 6))
		p.Fill(light, picture.Rect(x+5, 112+inset, 5, 268-2*inset, 2))
		p.Fill(silver, picture.Circle(x+16, 146+inset*0.6, 5), picture.Circle(x+16, 346-inset*0.6, 5))
	}
	p.Turn(-30)
	p.Stroke("#8a5a2b", 8, picture.Line(150, 300, 352, 300))
	p.Fill("#b5482f", picture.Circle(356, 300, 17))
	p.Fill(light, picture.Circle(351, 295, 5))
	return p
}

func metronome() *picture.Picture {
	p := picture.New("#e8d9d0", "#f4ebe5")
	p.Fill(shade, picture.Ellipse(240, 426, 140, 14))
	p.Fill("#5e3117", "M204 74 L276 74 L354 408 L126 408 Z")
	p.Fill("#84491f", "M208 82 L272 82 L346 400 L134 400 Z")
	p.Fill(cream, "M222 112 L258 112 L288 318 L192 318 Z")
	for i := range 9 {
		y := 134 + 20*float64(i)
		half := 6 + 1.9*float64(i)
		p.Stroke(ink, 2, picture.Line(240-half, y, 240-half/3, y), picture.Line(240+half/3, y, 240+half, y))
	}
	p.Fill("#5e3117", picture.Rect(152, 334, 176, 14, 6))
	p.Fill("#5e3117", picture.Rect(114, 400, 252, 22, 8))
	p.Fill(gold, picture.Circle(240, 372, 13))
	p.Fill("#8f6a22", picture.Rect(237, 362, 6, 20, 2))
	p.Stroke("#b5822c", 6, picture.Line(240, 342, 318, 86))
	p.Fill(gold, "M276 168 L312 178 L302 214 L268 204 Z")
	return p
}

func tuningFork() *picture.Picture {
	p := picture.New("#e3e0ef", "#f0eef7")
	p.Fill(shade, picture.Ellipse(240, 436, 90, 12))
	p.Turn(14)
	p.Stroke("#7f8b95", 24, "M204 74 L204 226 C204 284 276 284 276 226 L276 74")
	p.Stroke("#7f8b95", 22, picture.Line(240, 276, 240, 400))
	p.Stroke(silver, 15, "M202 74 L202 226 C202 280 273 280 273 226 L273 74")
	p.Stroke(silver, 13, picture.Line(238, 276, 238, 400))
	p.Fill("#7f8b95", picture.Circle(239, 402, 18))
	p.Fill(silver, picture.Circle(237, 400, 14))
	p.Stroke("#7a5fb0", 4, "M168 92 Q156 120 168 148", "M146 78 Q126 120 146 162", "M124 66 Q96 120 124 174",
		"M312 92 Q324 120 312 148", "M334 78 Q354 120 334 162", "M356 66 Q384 120 356 174")
	return p
}
