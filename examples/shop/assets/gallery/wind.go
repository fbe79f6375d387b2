package gallery

import (
	"fmt"

	"github.com/divisi-go/divisi/examples/shop/assets/picture"
)

// xy writes a point of a path.
func xy(x, y float64) string { return fmt.Sprintf("%g %g", x, y) }

func recorder() *picture.Picture {
	p := picture.New("#e7dccb", "#f3ebdf")
	p.Fill(shade, picture.Ellipse(240, 440, 120, 14))
	p.Turn(38)
	wood, dark := "#c98d4b", "#8f5b26"
	p.Fill(dark, "M226 30 L254 30 L262 74 L218 74 Z")
	p.Fill(wood, "M218 70 L262 70 L258 154 L222 154 Z")
	p.Fill(ink, "M230 92 L250 92 L246 112 L234 112 Z")
	p.Fill(dark, picture.Rect(212, 150, 56, 26, 8))
	p.Fill(wood, "M222 172 L258 172 L256 366 L224 366 Z")
	p.Fill(dark, picture.Rect(214, 362, 52, 24, 8))
	p.Fill(wood, "M224 382 L256 382 L268 448 L212 448 Z")
	p.Fill(dark, picture.Rect(208, 440, 64, 16, 6))
	for i := range 6 {
		p.Fill(ink, picture.Circle(240, 198+29*float64(i), 7))
	}
	p.Fill(ink, picture.Circle(234, 408, 5), picture.Circle(247, 408, 4))
	p.Fill(light, picture.Rect(227, 176, 5, 186, 2), picture.Rect(226, 78, 5, 72, 2))
	return p
}

func clarinet() *picture.Picture {
	p := picture.New("#d8dcea", "#e8ebf5")
	p.Fill(shade, picture.Ellipse(240, 440, 120, 14))
	p.Turn(32)
	black := "#26242b"
	p.Fill("#caa06a", "M233 22 L247 22 L249 52 L231 52 Z")
	p.Fill(black, "M234 26 L246 26 L258 92 L222 92 Z")
	p.Fill(steel, picture.Rect(230, 60, 20, 8, 3), picture.Rect(230, 74, 20, 8, 3))
	p.Fill(black, picture.Rect(224, 90, 32, 290, 5))
	p.Fill(black, "M224 378 L256 378 C258 410 270 430 286 452 L194 452 C210 430 222 410 224 378 Z")
	for _, y := range []float64{92, 122, 238, 372} {
		p.Fill(silver, picture.Rect(220, y, 40, 8, 3))
	}
	for i := range 7 {
		y := 146 + 30*float64(i)
		if i > 2 {
			y += 14
		}
		p.Stroke(silver, 3, picture.Circle(240, y, 10))
		p.Fill("#55525e", picture.Circle(240, y, 6))
	}
	p.Stroke(silver, 4, picture.Line(262, 140, 262, 232), picture.Line(262, 252, 262, 366))
	p.Fill(silver, picture.Ellipse(270, 176, 6, 16), picture.Ellipse(270, 318, 6, 18),
		picture.Ellipse(214, 342, 7, 16))
	p.Stroke(silver, 4, "M194 452 L286 452")
	p.Fill(light, picture.Rect(228, 132, 3, 104, 1), picture.Rect(228, 250, 3, 120, 1))
	return p
}

func ocarina() *picture.Picture {
	p := picture.New("#dcead0", "#ebf4e3")
	p.Fill(shade, picture.Ellipse(246, 398, 150, 18))
	p.Turn(-8)
	p.Fill("#2f6f73", "M196 190 L206 96 Q232 84 258 98 L262 190 Z")
	p.Fill(ink, picture.Rect(220, 98, 24, 9, 4))
	body := "M90 262 C96 190 190 164 268 176 C344 188 416 238 420 286 C422 332 356 366 268 372 " +
		"C170 378 84 340 90 262 Z"
	p.Fill("#3b8a8f", body)
	p.Fill("#2f6f73", "M420 286 C422 332 356 366 268 372 C170 378 84 340 90 262 "+
		"C108 320 180 350 268 344 C346 338 404 318 420 286 Z")
	p.Stroke(light, 10, "M124 238 Q160 200 220 194")
	for _, hole := range [][3]float64{
		{166, 258, 15}, {216, 246, 13}, {268, 248, 13}, {318, 262, 12}, {366, 282, 9},
		{192, 306, 11}, {250, 302, 9},
	} {
		p.Fill("#1d474a", picture.Circle(hole[0], hole[1], hole[2]))
	}
	p.Stroke(gold, 4, "M104 292 Q200 348 330 336")
	p.Fill(gold, picture.Circle(346, 330, 5), picture.Circle(364, 322, 4))
	return p
}

func harmonica() *picture.Picture {
	p := picture.New("#f1d3cf", "#f8e4e1")
	p.Fill(shade, picture.Ellipse(240, 344, 190, 18))
	p.Turn(-10)
	p.Fill("#8b1e2d", picture.Rect(62, 222, 356, 50, 10))
	for i := range 10 {
		p.Fill(ink, picture.Rect(82+32*float64(i), 234, 24, 26, 4))
	}
	p.Fill(steel, picture.Rect(52, 160, 376, 68, 18), picture.Rect(52, 266, 376, 62, 18))
	p.Fill(silver, picture.Rect(60, 164, 360, 48, 16), picture.Rect(60, 266, 360, 44, 16))
	p.Fill(light, picture.Rect(76, 170, 328, 10, 5))
	p.Stroke("#8d98a1", 2.5, "M150 194 Q195 176 240 194 Q285 212 330 194")
	p.Fill("#8d98a1", picture.Circle(80, 190, 6), picture.Circle(400, 190, 6),
		picture.Circle(80, 290, 6), picture.Circle(400, 290, 6))
	p.Stroke("#8d98a1", 2.5, picture.Line(150, 288, 330, 288))
	return p
}
