package catalog

import "github.com/divisi-go/divisi/examples/shop/money"

// Product is something that the shop sells.
type Product struct {
	ID       string
	Name     string
	Category string // one of Categories
	Tagline  string // half a sentence, for lists
	Text     string // paragraphs, each a line
	Picture  string // name of an asset
	Alt      string // what the picture shows
	Price    money.Money
	Grams    int
}

// Category is a part of the shop.
type Category struct {
	ID   string
	Name string
}

// Categories are the parts of the shop, in the order in which they are shown.
var Categories = []Category{
	{"strings", "Strings"},
	{"winds", "Winds"},
	{"keys", "Keys"},
	{"rhythm", "Rhythm"},
	{"print", "Print & practice"},
}

// products is everything the shop sells, in the order in which it is shown.
var products = []Product{
	{
		ID: "violin", Name: "Amberley violin", Category: "strings",
		Tagline: "a forgiving first violin",
		Text: "Carved from spruce and maple that dried for six winters in a barn, and varnished thin " +
			"enough to let the wood speak.\n" +
			"It comes set up, with a bow, a cake of rosin and a case whose lid closes without a " +
			"struggle. Beginners find it patient; their teachers find it in tune.",
		Picture: "violin.svg", Alt: "A chestnut violin, leaning, with its bow beside it",
		Price: money.Euro(389, 0), Grams: 2300,
	},
	{
		ID: "cello", Name: "Three-quarter cello", Category: "strings",
		Tagline: "for arms that are still growing",
		Text: "A cello for players who have outgrown the half size and cannot yet reach around the " +
			"full one. The neck is slim, the strings are low, the voice is already deep.\n" +
			"Bring it back when the player has grown, and half its price goes into the next one.",
		Picture: "cello.png", Alt: "A dark brown cello standing upright, its bow across the strings",
		Price: money.Euro(1249, 0), Grams: 6800,
	},
	{
		ID: "ukulele", Name: "Kitchen ukulele", Category: "strings",
		Tagline: "hangs by the door, gets played",
		Text: "A concert ukulele of acacia with a satin finish that does not mind flour on the " +
			"fingers.\n" +
			"Four strings, four pegs that hold, and a hook for the wall: the instruments that hang " +
			"in reach are those that are played.",
		Picture: "ukulele.svg", Alt: "A honey-coloured ukulele, leaning to the left",
		Price: money.Euro(119, 0), Grams: 900,
	},
	{
		ID: "recorder", Name: "Pearwood recorder", Category: "winds",
		Tagline: "soprano, baroque fingering",
		Text: "Turned from a single pear tree per batch and soaked in linseed oil. It is warm in the " +
			"low notes and clear in the high ones, and it makes neighbours reconsider what they " +
			"think of recorders.",
		Picture: "recorder.svg", Alt: "A wooden recorder, set diagonally",
		Price: money.Euro(64, 50), Grams: 310,
	},
	{
		ID: "clarinet", Name: "Evening clarinet", Category: "winds",
		Tagline: "B flat, seventeen keys",
		Text: "Grenadilla, silvered keys, and pads that close with a sound like a well-made cupboard.\n" +
			"It is voiced a little darker than most, for long slow movements after supper. With a " +
			"case, cork grease, and ten reeds of which at least six are good.",
		Picture: "clarinet.png", Alt: "A black clarinet with silver keys, set diagonally",
		Price: money.Euro(679, 0), Grams: 1900,
	},
	{
		ID: "ocarina", Name: "Lagoon ocarina", Category: "winds",
		Tagline: "twelve holes, fired twice",
		Text: "Earthenware with a glaze the colour of shallow water. It sounds like somebody " +
			"whistling in the next room who has never made a mistake.\n" +
			"It fits in a coat pocket. Please do not sit on it.",
		Picture: "ocarina.svg", Alt: "A teal ocarina with a gold line along its belly",
		Price: money.Euro(42, 0), Grams: 420,
	},
	{
		ID: "harmonica", Name: "Pocket harmonica", Category: "winds",
		Tagline: "ten holes in C",
		Text: "Brass reeds on a pearwood comb under steel covers, riveted so that it can be taken " +
			"apart and cleaned. Good company on night trains, if the carriage agrees.",
		Picture: "harmonica.png", Alt: "A silver harmonica with a red comb",
		Price: money.Euro(34, 90), Grams: 110,
	},
	{
		ID: "concertina", Name: "Harbour concertina", Category: "keys",
		Tagline: "twenty buttons, six folds",
		Text: "An Anglo concertina in C and G with leather bellows and brass reeds. Each button has " +
			"two notes, one for breathing in and one for breathing out, like most conversations.",
		Picture: "concertina.svg", Alt: "A concertina with red bellows and wooden ends",
		Price: money.Euro(449, 0), Grams: 1700,
	},
	{
		ID: "melodica", Name: "Blue melodica", Category: "keys",
		Tagline: "a piano for the bicycle basket",
		Text: "Thirty-two keys, one breath. The tube lets you lay it on a table and see what the " +
			"fingers do; the short mouthpiece lets you march.",
		Picture: "melodica.png", Alt: "A blue melodica with a yellow blowing tube",
		Price: money.Euro(54, 0), Grams: 780,
	},
	{
		ID: "toy-piano", Name: "Little red piano", Category: "keys",
		Tagline: "a toy, and entirely serious",
		Text: "Steel rods struck by small hammers, as in the pieces that grown-up composers wrote " +
			"for it. Children use it to compose too, and ask fewer questions first.",
		Picture: "toy-piano.svg", Alt: "A small red upright piano with notes on its stand",
		Price: money.Euro(138, 0), Grams: 5200,
	},
	{
		ID: "kalimba", Name: "Rain kalimba", Category: "keys",
		Tagline: "eleven tines, two thumbs",
		Text: "A box of mahogany, a round hole, and tines tuned to a scale that has no wrong notes. " +
			"The name is from what it sounds like on a tin roof.",
		Picture: "kalimba.png", Alt: "A wooden kalimba with eleven steel tines",
		Price: money.Euro(48, 50), Grams: 640,
	},
	{
		ID: "frame-drum", Name: "Frame drum", Category: "rhythm",
		Tagline: "goatskin on ash, painted by hand",
		Text: "A drum the width of a forearm with eight brass tacks and a border that takes its " +
			"painter a morning. Warm it by the radiator and its voice rises; leave it in the rain " +
			"and it sulks.",
		Picture: "frame-drum.svg", Alt: "A round frame drum with a painted red border",
		Price: money.Euro(92, 0), Grams: 980,
	},
	{
		ID: "triangle", Name: "Orchestra triangle", Category: "rhythm",
		Tagline: "one note, very well",
		Text: "Bent from one rod of tool steel. You will wait two hundred bars for your entry, and " +
			"then everybody in the hall will hear whether it was right.",
		Picture: "triangle.png", Alt: "A steel triangle hanging from a red cord, with its beater",
		Price: money.Euro(27, 0), Grams: 350,
	},
	{
		ID: "glockenspiel", Name: "Rainbow glockenspiel", Category: "rhythm",
		Tagline: "eight bars, in tune",
		Text: "Most coloured glockenspiels are toys that are nearly in tune. This one was tuned with " +
			"a file and a strobe by a man named Osk, who signs the underside of the lowest bar.",
		Picture: "glockenspiel.svg", Alt: "A glockenspiel with eight bars in rainbow colours",
		Price: money.Euro(58, 0), Grams: 1150,
	},
	{
		ID: "duets", Name: "Twelve duets for two violins", Category: "print",
		Tagline: "for a teacher, a pupil and a rainy hour",
		Text: "Two parts of equal interest, printed on cream paper that lies flat. The page turns " +
			"come where both players have a hand free, which took the engraver a year.",
		Picture: "duets.png", Alt: "A green music book with two staves on its cover",
		Price: money.Euro(18, 50), Grams: 260,
	},
	{
		ID: "rounds", Name: "Rounds for rainy days", Category: "print",
		Tagline: "forty songs that chase themselves",
		Text: "Everybody sings the same line and nobody at the same time. Two voices are enough, " +
			"a full kitchen is better. With a page on how to stop.",
		Picture: "rounds.svg", Alt: "A yellow songbook with notes in a circle around raindrops",
		Price: money.Euro(22, 0), Grams: 380,
	},
	{
		ID: "metronome", Name: "Walnut metronome", Category: "print",
		Tagline: "wound up, never impatient",
		Text: "A spring, a pendulum and a walnut case. It ticks from 40 to 208 and needs no " +
			"charging. That it seems to hurry in the difficult bars has been investigated: it " +
			"does not.",
		Picture: "metronome.png", Alt: "A walnut metronome with its pendulum swung to the right",
		Price: money.Euro(79, 90), Grams: 610,
	},
	{
		ID: "tuning-fork", Name: "Tuning fork in A", Category: "print",
		Tagline: "440 times a second, for ever",
		Text: "Strike it on your knee, hold it to the table, and listen. It has no settings. It " +
			"will be right when everything else in the house has been replaced.",
		Picture: "tuning-fork.png", Alt: "A steel tuning fork, humming",
		Price: money.Euro(12, 0), Grams: 70,
	},
}
