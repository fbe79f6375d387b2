package gallery

import "github.com/divisi-go/divisi/examples/shop/assets/picture"

// fiddleBody is the outline of everything in the violin's family.
const fiddleBody = "M240 196 C288 196 310 220 304 252 C300 276 281 284 281 304 C281 326 316 336 316 378 " +
	"C316 418 282 434 240 434 C198 434 164 418 164 378 C164 336 199 326 199 304 " +
	"C199 284 180 276 176 252 C170 220 192 196 240 196 Z"

// fiddle draws what a violin and a cello have in common.
func fiddle(p *picture.Picture, wood, edge string) {
	p.Fill(edge, fiddleBody)
	p.Stroke(edge, 8, fiddleBody)
	p.Fill(wood, fiddleBody)
	p.Fill(light, "M196 222 C180 236 184 258 196 268 C192 250 196 234 212 216 C206 216 201 218 196 222 Z")
	for _, x := range []float64{206, 274} {
		bend := x + (240-x)*0.25
		p.Stroke(ink, 4, "M"+xy(x, 296)+" C"+xy(bend+8, 300)+" "+xy(x-8, 336)+" "+xy(bend, 344))
		p.Fill(ink, picture.Circle(x, 297, 4.5), picture.Circle(bend, 343, 4.5))
	}
	p.Fill(edge, picture.Rect(230, 84, 20, 130, 4))
	p.Fill(ink, "M231 92 L249 92 L254 288 L226 288 Z")
	p.Fill(edge, "M228 96 C224 70 226 52 240 48 C254 52 256 70 252 96 Z", picture.Circle(240, 52, 13))
	p.Fill(wood, picture.Circle(240, 52, 5))
	p.Stroke(ink, 7, picture.Line(214, 70, 226, 72), picture.Line(254, 78, 266, 76),
		picture.Line(214, 86, 226, 88), picture.Line(254, 92, 266, 90))
	p.Fill(ink, "M230 362 L250 362 L254 424 L226 424 Z")
	p.Fill(cream, "M216 334 L264 334 L268 344 L212 344 Z")
	for i := range 4 {
		x := 233 + 14*float64(i)/3
		p.Stroke(silver, 1.4, picture.Line(x, 96, 240+(x-240)*1.6, 364))
	}
}

func violin() *picture.Picture {
	p := picture.New("#f4dcc0", "#f9ead6")
	p.Fill(shade, picture.Ellipse(250, 438, 130, 16))
	p.Turn(24)
	fiddle(p, "#b5652d", "#7c3d17")
	p.Fill(ink, picture.Ellipse(200, 418, 30, 14))
	p.Turn(-34)
	p.Stroke("#8a5a2b", 6, "M362 70 Q352 250 356 420")
	p.Stroke(cream, 3, picture.Line(366, 78, 364, 412))
	p.Fill(ink, picture.Rect(350, 384, 18, 36, 4), picture.Rect(358, 66, 12, 16, 4))
	return p
}

func cello() *picture.Picture {
	p := picture.New("#dfe3d3", "#eef0e4")
	p.Fill(shade, picture.Ellipse(240, 458, 110, 12))
	p.Stroke(steel, 5, picture.Line(240, 430, 240, 456))
	fiddle(p, "#9c4a21", "#5e2710")
	p.Stroke("#7a4a22", 7, "M96 300 Q250 330 404 262")
	p.Stroke(cream, 3, picture.Line(100, 308, 402, 270))
	p.Fill(ink, picture.Rect(88, 294, 26, 20, 5))
	return p
}

func ukulele() *picture.Picture {
	p := picture.New("#cfe6e2", "#e2f2ef")
	p.Fill(shade, picture.Ellipse(236, 440, 130, 14))
	p.Turn(-22)
	body := "M240 236 C280 236 296 258 290 282 C286 300 282 308 292 320 C306 336 316 352 316 374 " +
		"C316 412 284 432 240 432 C196 432 164 412 164 374 C164 352 174 336 188 320 " +
		"C198 308 194 300 190 282 C184 258 200 236 240 236 Z"
	p.Stroke("#8b5a26", 9, body)
	p.Fill("#e0a458", body)
	p.Stroke("#f4d7a6", 3, "M206 256 C196 270 204 296 204 306 C196 326 178 342 178 372")
	p.Fill("#6b431c", picture.Rect(228, 76, 24, 200, 4))
	for i := range 9 {
		y := 92 + 20*float64(i)
		p.Stroke(gold, 2, picture.Line(230, y, 250, y))
	}
	p.Fill("#8b5a26", "M222 84 L226 34 Q240 26 254 34 L258 84 Z")
	p.Fill(cream, picture.Circle(216, 48, 8), picture.Circle(264, 48, 8),
		picture.Circle(215, 70, 8), picture.Circle(265, 70, 8))
	p.Fill("#6b431c", picture.Circle(240, 314, 35))
	p.Fill(ink, picture.Circle(240, 314, 29))
	p.Fill("#6b431c", picture.Rect(204, 378, 72, 16, 6))
	for i := range 4 {
		x := 231 + 6*float64(i)
		p.Stroke(cream, 1.8, picture.Line(x, 60, x, 384))
	}
	return p
}
