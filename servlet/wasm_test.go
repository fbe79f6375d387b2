package servlet

import (
	"encoding/binary"
	"slices"
)

// A servlet of the tests is a module whose _start runs instructions: those of init if it has two arguments, else those of a
// request. Both may use what it imports, and its memory, where a text is.

// leb returns a number as the format has it.
func leb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// constant returns the instruction i32.const, whose numbers have a sign.
func constant(n int) []byte {
	p := leb(n)
	if last := len(p) - 1; p[last]&0x40 != 0 {
		p[last] |= 0x80
		p = append(p, 0)
	}
	return slices.Concat([]byte{0x41}, p)
}

// counted returns items behind their number.
func counted(items ...[]byte) []byte { return slices.Concat(leb(len(items)), slices.Concat(items...)) }

// sized returns bytes behind their length.
func sized(p []byte) []byte { return slices.Concat(leb(len(p)), p) }

func section(id byte, content []byte) []byte { return slices.Concat([]byte{id}, sized(content)) }

func imported(name string, kind byte) []byte {
	return slices.Concat(sized([]byte("wasi_snapshot_preview1")), sized([]byte(name)), []byte{0, kind})
}

// What servlets do.
var (
	write   = []byte{0x41, 1, 0x41, 0, 0x41, 1, 0x41, 12, 0x10, 0, 0x1a}                                       // fd_write(1, 0, 1, 12), drop
	read    = []byte{0x41, 0, 0x41, 32, 0x41, 1, 0x41, 12, 0x10, 3, 0x1a}                                      // fd_read(0, 32, 1, 12), drop
	trap    = []byte{0x00}                                                                                     // unreachable
	exit3   = []byte{0x41, 3, 0x10, 2}                                                                         // proc_exit(3)
	enlarge = []byte{0x41, 16, 0x40, 0, 0x41, 0x7f, 0x46, 0x04, 0x40, 0x00, 0x0b}                              // a MiB more, or trap
	fine    = []byte{}                                                                                         // nothing
	tables  = []byte{0xd0, 0x70, 0x41, 0x80, 0x80, 0x80, 0x08, 0xfc, 15, 0, 0x1a}                              // table.grow, drop
	sleepy  = []byte{0x41, 0xc0, 0, 0x41, 0x80, 1, 0x41, 1, 0x41, 12, 0x10, 4, 0x1a}                           // poll_oneoff(64, 128, 1, 12), drop
	hour    = slices.Concat(make([]byte, 24), binary.LittleEndian.AppendUint64(nil, 3600e9), make([]byte, 16)) // a subscription to a clock
)

// forever repeats instructions.
func forever(body []byte) []byte {
	return slices.Concat([]byte{0x03, 0x40}, body, []byte{0x0c, 0, 0x0b})
}

// module returns a servlet with pages of memory.
func module(pages int, text string, init, request []byte) []byte {
	const i32 = 0x7f
	start := slices.Concat([]byte{0, 0x41, 8, 0x41, 12, 0x10, 1, 0x1a, 0x41, 8, 0x28, 2, 0, 0x41, 2, 0x46, 0x04, 0x40}, // args_sizes_get(8, 12); if 2 ==
		init, []byte{0x05}, request, []byte{0x0b, 0x0b})
	var vector []byte // at 0: where the text is, and its length
	vector = binary.LittleEndian.AppendUint32(vector, 256)
	vector = binary.LittleEndian.AppendUint32(vector, uint32(len(text)))
	data := func(at int, p []byte) []byte {
		return slices.Concat([]byte{0}, constant(at), []byte{0x0b}, sized(p))
	}
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, counted([]byte{0x60, 0, 0}, []byte{0x60, 4, i32, i32, i32, i32, 1, i32}, []byte{0x60, 1, i32, 0}, []byte{0x60, 2, i32, i32, 1, i32})),
		section(2, counted(imported("fd_write", 1), imported("args_sizes_get", 3), imported("proc_exit", 2), imported("fd_read", 1), imported("poll_oneoff", 1))),
		section(3, counted([]byte{0})),
		section(5, counted(slices.Concat([]byte{0}, leb(pages)))),
		section(7, counted(slices.Concat(sized([]byte("memory")), []byte{2, 0}), slices.Concat(sized([]byte("_start")), []byte{0, 5}))),
		section(10, counted(sized(start))),
		section(11, counted(data(0, vector), data(256, []byte(text)), data(64, hour))),
	)
}

// greeting returns a servlet that answers with a text.
func greeting(text string) []byte { return module(1, "Content-Type: text/plain\n\n"+text, fine, write) }
