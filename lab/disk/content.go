package disk

// BlockSize is the unit in which a disk has space.
const BlockSize = 4096

type block struct {
	bytes  [BlockSize]byte
	shared bool // it is in what a power cut leaves as well, and is never written again
}

// content is the bytes of a file. A block that is nil is zeros, and needs no space.
type content struct {
	blocks []*block
	size   int64
}

// blocksOf returns how many blocks hold a number of bytes.
func blocksOf(size int64) int64 { return (size + BlockSize - 1) / BlockSize }

// used returns how many blocks the content needs.
func (c *content) used() (count int64) {
	for _, b := range c.blocks {
		if b != nil {
			count++
		}
	}
	return count
}

// share returns the same content once more. What is written to either from now on is in that one only.
func (c *content) share() content {
	for _, b := range c.blocks {
		if b != nil {
			b.shared = true
		}
	}
	return content{append([]*block(nil), c.blocks...), c.size}
}

// copyTo copies bytes from an offset on, and returns how many there were.
func (c *content) copyTo(to []byte, offset int64) int {
	if offset >= c.size {
		return 0
	}
	to = to[:min(int64(len(to)), c.size-offset)]
	for done := 0; done < len(to); {
		number, begin := (offset+int64(done))/BlockSize, (offset+int64(done))%BlockSize
		piece := to[done:min(len(to), done+int(BlockSize-begin))]
		if b := c.blocks[number]; b != nil {
			copy(piece, b.bytes[begin:])
		} else {
			clear(piece)
		}
		done += len(piece)
	}
	return len(to)
}

// own returns a block for writing; it is new if there was none, or if it is shared.
func (c *content) own(number int64) *block {
	for int64(len(c.blocks)) <= number {
		c.blocks = append(c.blocks, nil)
	}
	b := c.blocks[number]
	switch {
	case b == nil:
		b = &block{}
	case b.shared:
		b = &block{bytes: b.bytes}
	}
	c.blocks[number] = b
	return b
}

// has reports whether a block needs no more space to be written.
func (c *content) has(number int64) bool {
	return number < int64(len(c.blocks)) && c.blocks[number] != nil
}

// resize cuts the content, or makes it longer by zeros.
func (c *content) resize(size int64) {
	count := blocksOf(size)
	if int64(len(c.blocks)) > count {
		clear(c.blocks[count:])
		c.blocks = c.blocks[:count]
	}
	for int64(len(c.blocks)) < count {
		c.blocks = append(c.blocks, nil)
	}
	if rest := size % BlockSize; size < c.size && rest != 0 && c.has(count-1) {
		clear(c.own(count - 1).bytes[rest:])
	}
	c.size = size
}
