package wire

import "slices"

const (
	// growth is to how many times what has arrived a message's memory grows when it is full: a compromise
	// between the number of pieces and what a peer can make us allocate beyond what it has sent.
	growth = 4
	// piece is by how much it grows at most. Whoever reads makes the memory, and all else that comes on the
	// connection waits meanwhile: that of 10 MB takes a thousand times as long as a short call.
	piece = 1 << 20
)

// Message collects the chunks of a message. Its memory grows with what arrives: what the peer
// says about the length is a limit and not a reason to allocate.
type Message struct {
	First   Header // of the first chunk
	total   uint64
	arrived uint64
	full    [][]byte // pieces, in order
	body    []byte   // the last piece
	memory  int      // of all of them
	done    bool
}

// Total is the length of the message whose first chunk is f, as its sender says.
func Total(f Frame) uint64 { return le.Uint64(f.Body) }

// AppendTotal appends what stands in front of a first chunk.
func AppendTotal(b []byte, total int) []byte { return le.AppendUint64(b, uint64(total)) }

// NewMessage starts a message with its first chunk. No more than window bytes are allocated
// beforehand. The caller has compared Total with its limit.
func NewMessage(f Frame, window int) (*Message, error) {
	m := &Message{First: f.Header, total: Total(f)}
	m.grow(window)
	f.Body = f.Body[totalSize:]
	return m, m.add(f)
}

// Add appends the next chunk, and reads what is missing of it. Its errors are Violations, or those of reading.
func (m *Message) Add(f Frame) error {
	if f.Type != m.First.Type || f.Flags&FlagCont == 0 {
		return violation("%s inside a %s in chunks", f.Type, m.First.Type)
	}
	if err := m.add(f); err != nil {
		return err
	}
	if m.done = f.Flags&FlagMore == 0; m.done && m.arrived < m.total {
		return violation("%s of %d bytes ends after %d", f.Type, m.total, m.arrived)
	}
	return nil
}

func (m *Message) add(f Frame) error {
	n := len(f.Body) + f.missing
	if m.arrived+uint64(n) > m.total {
		return violation("%s of %d bytes has at least %d", m.First.Type, m.total, m.arrived+uint64(n))
	}
	had := len(m.body)
	if had+n > cap(m.body) {
		m.full = append(m.full, m.body)
		m.grow(max(n, int(min(piece, (growth-1)*m.arrived))))
		had = 0
	}
	m.body = m.body[:had+n]
	m.arrived += uint64(n)
	return f.ReadBody(m.body[had:])
}

// grow makes another piece, of no more than what is to come.
func (m *Message) grow(most int) {
	m.body = make([]byte, 0, min(m.total-m.arrived, uint64(most)))
	m.memory += cap(m.body)
}

// Done says that the last chunk has been added.
func (m *Message) Done() bool { return m.done }

// Memory is how much the message takes.
func (m *Message) Memory() int { return m.memory }

// Head is the beginning of the message: at least what may stand in front of the arguments of a request, if
// it is as long.
func (m *Message) Head() []byte {
	if len(m.full) > 0 && len(m.full[0]) > maxSections {
		return m.full[0]
	}
	return m.Body()
}

// Body is what has arrived so far; once the message is done it belongs to the caller. If it is in pieces, they
// are joined, for which whoever reads has no time.
func (m *Message) Body() []byte {
	if len(m.full) > 0 {
		m.body = slices.Concat(append(m.full, m.body)...)
		m.full = nil
	}
	return m.body
}
