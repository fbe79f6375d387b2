package positiond

import "fmt"

// Move is a change of a position.
type Move struct {
	Instrument int   // 0 to 511
	Quantity   int64 // negative when sold, never 0
}

// Largest is the largest quantity of a move.
const Largest = 1_000_000

// ParseMove reads a move such as "17 -250": the instrument, and the quantity.
func ParseMove(text string) (Move, error) {
	var m Move
	if _, err := fmt.Sscanf(text+"\n", "%d %d\n", &m.Instrument, &m.Quantity); err != nil {
		return m, fmt.Errorf("%q is no instrument and quantity, such as \"17 -250\"", text)
	}
	if m.Instrument < 0 || m.Instrument >= len(Positions{}) {
		return m, fmt.Errorf("the instrument %d is none of 0 to %d", m.Instrument, len(Positions{})-1)
	}
	if m.Quantity == 0 || m.Quantity > Largest || m.Quantity < -Largest {
		return m, fmt.Errorf("the quantity %d is none of 1 to %d, bought or sold", m.Quantity, Largest)
	}
	return m, nil
}

// String returns the move as [ParseMove] reads it.
func (m Move) String() string { return fmt.Sprintf("%d %d", m.Instrument, m.Quantity) }
