package wire

// growth is by how much a message's memory grows when it is full: a compromise between what is
// copied and what a peer can make us allocate beyond what it has sent.
const growth = 4

// Message collects the chunks of a message. Its memory grows with what arrives: what the peer
// says about the length is a limit and not a reason to allocate.
type Message struct {
	First Header // of the first chunk
	total uint64
	body  []byte
	done  bool
}

// Total is the length of the message whose first chunk is f, as its sender says.
func Total(f Frame) uint64 { return le.Uint64(f.Body) }

// AppendTotal appends what stands in front of a first chunk.
func AppendTotal(b []byte, total int) []byte { return le.AppendUint64(b, uint64(total)) }

// NewMessage starts a message with its first chunk. No more than window bytes are allocated
// beforehand. The caller has compared Total with its limit.
func NewMessage(f Frame, window int) (*Message, error) {
	m := &Message{First: f.Header, total: Total(f)}
	m.body = make([]byte, 0, min(m.total, uint64(window)))
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
	if m.done = f.Flags&FlagMore == 0; m.done && uint64(len(m.body)) < m.total {
		return violation("%s of %d bytes ends after %d", f.Type, m.total, len(m.body))
	}
	return nil
}

func (m *Message) add(f Frame) error {
	had := len(m.body)
	n := had + len(f.Body) + f.missing
	if uint64(n) > m.total {
		return violation("%s of %d bytes has at least %d", m.First.Type, m.total, n)
	}
	if n > cap(m.body) {
		larger := make([]byte, had, min(m.total, uint64(max(n, growth*cap(m.body)))))
		copy(larger, m.body)
		m.body = larger
	}
	m.body = m.body[:n]
	return f.ReadBody(m.body[had:])
}

// Done says that the last chunk has been added.
func (m *Message) Done() bool { return m.done }

// Body is what has arrived so far; once the message is done it belongs to the caller.
func (m *Message) Body() []byte { return m.body }
