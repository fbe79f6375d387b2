package cart

import (
	"errors"
	"fmt"
	"slices"
)

const (
	// MaxQuantity is how many of one product a cart takes.
	MaxQuantity = 20

	// MaxLines is how many different products a cart takes. It bounds the cookie that the cart
	// lives in.
	MaxLines = 40
)

// ErrQuantity is in the error of a change that would make a cart too large, or a quantity
// negative.
var ErrQuantity = errors.New("impossible quantity")

// Line is one product in a cart.
type Line struct {
	Product  string `json:"p"`
	Quantity int    `json:"q"`
}

// Change is a change of one line.
type Change struct {
	Product  string
	Quantity int  // 0 removes the line
	Add      bool // Quantity is added to what is there
}

// merge returns the lines after a change; lines stays as it is.
func merge(lines []Line, c Change) ([]Line, error) {
	lines = slices.Clone(lines)
	i := slices.IndexFunc(lines, func(l Line) bool { return l.Product == c.Product })
	if i < 0 {
		i = len(lines)
		lines = append(lines, Line{Product: c.Product})
	}
	if c.Quantity < 0 || c.Quantity > MaxQuantity {
		return nil, fmt.Errorf("%w: %d", ErrQuantity, c.Quantity)
	}
	if !c.Add {
		lines[i].Quantity = 0
	}
	lines[i].Quantity += c.Quantity
	if lines[i].Quantity > MaxQuantity {
		return nil, fmt.Errorf("%w: a cart takes at most %d of one product", ErrQuantity, MaxQuantity)
	}
	if lines[i].Quantity == 0 {
		lines = slices.Delete(lines, i, i+1)
	}
	if len(lines) > MaxLines {
		return nil, fmt.Errorf("%w: a cart takes at most %d products", ErrQuantity, MaxLines)
	}
	return lines, nil
}

// Count returns how many things a cart holds.
func Count(lines []Line) int {
	n := 0
	for _, l := range lines {
		n += l.Quantity
	}
	return n
}
