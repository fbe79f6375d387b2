package emit

import (
	"go/scanner"
	"go/token"
	"strings"
)

// lineLimit is the number of columns that a generated line may have, a tab being four.
const lineLimit = 100

const tabWidth = 4

func columns(line string) int {
	return len([]rune(line)) + strings.Count(line, "\t")*(tabWidth-1)
}

// wrap breaks every line that is too long at its longest list in brackets.
func wrap(src string) string {
	var b strings.Builder
	for line := range strings.Lines(src) {
		text := strings.TrimSuffix(line, "\n")
		if columns(text) > lineLimit && !strings.HasPrefix(strings.TrimSpace(text), "//") {
			text = breakLine(text)
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

// list is a bracketed list in a line.
type list struct {
	open, close int   // offsets of the brackets
	commas      []int // offsets
}

// breakLine puts the elements of the longest list on lines of their own, as many on each as fit.
func breakLine(line string) string {
	best := list{}
	for _, l := range lists(line) {
		if l.close-l.open > best.close-best.open {
			best = l
		}
	}

	if best.close-best.open < 2 {
		return line
	}

	indent := line[:len(line)-len(strings.TrimLeft(line, "\t"))] + "\t"
	var b strings.Builder
	b.WriteString(line[:best.open+1])
	from, width := best.open+1, lineLimit
	for _, comma := range append(best.commas, best.close) {
		elem := strings.TrimSpace(line[from:comma])
		from = comma + 1
		if elem == "" {
			continue
		}

		if n := len([]rune(elem)) + 2; width+n > lineLimit {
			b.WriteString("\n" + indent)
			width = columns(indent) + n
		} else {
			b.WriteString(" ")
			width += n
		}

		b.WriteString(elem + ",")
	}

	b.WriteString("\n" + line[best.close:])
	return b.String()
}

// lists returns the outermost bracketed lists of a line in which a comma may follow the last
// element.
func lists(line string) []list {
	var s scanner.Scanner
	fset := token.NewFileSet()
	file := fset.AddFile("", fset.Base(), len(line))
	s.Init(file, []byte(line), func(token.Position, string) {}, 0)
	type open struct {
		list
		tok, before token.Token
	}

	var stack []open
	var found []list
	before := token.ILLEGAL
	for {
		pos, tok, _ := s.Scan()
		if tok == token.EOF {
			return found
		}

		at := file.Offset(pos)
		switch tok {
		case token.LPAREN, token.LBRACK, token.LBRACE:
			stack = append(stack, open{list{open: at}, tok, before})
		case token.COMMA:
			if len(stack) > 0 {
				top := &stack[len(stack)-1]
				top.commas = append(top.commas, at)
			}
		case token.RPAREN, token.RBRACK, token.RBRACE:
			if len(stack) == 0 {
				break
			}
			top := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			top.close = at
			if len(stack) == 0 && mayBreak(top.tok, top.before, len(top.commas)) {
				found = append(found, top.list)
			}
		}

		before = tok
	}
}

// mayBreak reports whether a list can be broken, by its bracket, the token before and its number
// of commas.
func mayBreak(bracket, before token.Token, commas int) bool {
	switch bracket {
	case token.LBRACK:
		return commas > 0
	case token.LPAREN:
		return before == token.IDENT || before == token.RBRACK || before == token.RPAREN ||
			before == token.FUNC && commas > 0
	default:
		return before == token.IDENT || before == token.RBRACK
	}
}
