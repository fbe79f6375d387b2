package weavelet

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"math"
	"os"
	"runtime"
	"strings"
)

// heapProfile is a profile of the memory in use, in pprof's format: messages of profile.proto. The
// package runtime/pprof makes the same, and with it brings its text forms into every application. For
// the same reason what is called often is not inlined.
type heapProfile struct {
	message
	texts     []string
	textIDs   map[string]uint64
	locations map[location]uint64
	functions map[string]uint64
}

// location is a line of a function.
type location struct {
	function, file string
	line           int
}

// message is a protobuf message that is being written.
type message []byte

// varints appends numbers.
//
//go:noinline
func (m *message) varints(numbers ...uint64) {
	for _, n := range numbers {
		*m = binary.AppendUvarint(*m, n)
	}
}

// numbers appends fields that are numbers, of which the first has the number 1.
func (m *message) numbers(fields ...uint64) {
	for i, n := range fields {
		m.varints(uint64(i+1)<<3, n)
	}
}

func (m *message) bytes(field uint64, b []byte) {
	m.varints(field<<3|2, uint64(len(b)))
	*m = append(*m, b...)
}

// packed appends numbers as one field.
func (m *message) packed(field uint64, numbers ...uint64) {
	var all message
	all.varints(numbers...)
	m.bytes(field, all)
}

// takeHeapProfile returns a profile of this process as of its last garbage collection.
func takeHeapProfile() ([]byte, error) {
	var records []runtime.MemProfileRecord
	for n, ok := runtime.MemProfile(nil, true); !ok; {
		records = make([]runtime.MemProfileRecord, n+50) // more may come between
		n, ok = runtime.MemProfile(records, true)
		records = records[:min(n, len(records))]
	}
	h := &heapProfile{
		textIDs: map[string]uint64{}, locations: map[location]uint64{}, functions: map[string]uint64{},
	}
	h.text("")
	for _, sampled := range [][2]string{
		{"alloc_objects", "count"}, {"alloc_space", "bytes"}, {"inuse_objects", "count"}, {"inuse_space", "bytes"},
	} {
		h.bytes(1, h.valueType(sampled[0], sampled[1]))
	}
	for _, r := range records {
		h.sample(r)
	}
	// One mapping for all of the program, which has the functions, files and lines already.
	var mapping message
	mapping.numbers(1, 0, 0, 0, h.text(os.Args[0]), 0, 1, 1, 1)
	h.bytes(3, mapping)
	h.bytes(11, h.valueType("space", "bytes"))
	h.varints(12<<3, uint64(runtime.MemProfileRate))
	for _, s := range h.texts {
		h.bytes(6, []byte(s))
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(h.message); err != nil {
		return nil, err
	}
	err := w.Close()
	return out.Bytes(), err
}

// text returns the number of a text.
//
//go:noinline
func (h *heapProfile) text(s string) uint64 {
	id, ok := h.textIDs[s]
	if !ok {
		id = uint64(len(h.texts))
		h.textIDs[s], h.texts = id, append(h.texts, s)
	}
	return id
}

func (h *heapProfile) valueType(kind, unit string) (m message) {
	m.numbers(h.text(kind), h.text(unit))
	return m
}

func (h *heapProfile) sample(r runtime.MemProfileRecord) {
	var stack []uint64
	inRuntime := 0
	frames := runtime.CallersFrames(r.Stack())
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); f.Function == "" {
			continue
		}
		if inRuntime == len(stack) &&
			(strings.HasPrefix(f.Function, "runtime.") || strings.HasPrefix(f.Function, "internal/runtime/")) {
			inRuntime++
		}
		stack = append(stack, h.location(location{f.Function, f.File, f.Line}))
	}
	if inRuntime < len(stack) {
		stack = stack[inRuntime:] // how allocation goes on inside the runtime is of no interest
	}
	var m message
	m.packed(1, stack...)
	allocs, allocated := estimate(r.AllocObjects, r.AllocBytes)
	objects, size := estimate(r.InUseObjects(), r.InUseBytes())
	m.packed(2, allocs, allocated, objects, size)
	h.bytes(2, m)
}

// estimate returns what a sample stands for: one is taken for every so many bytes.
func estimate(objects, size int64) (uint64, uint64) {
	rate := float64(runtime.MemProfileRate)
	if objects == 0 || size == 0 || rate <= 1 {
		return uint64(objects), uint64(size)
	}
	scale := 1 / (1 - math.Exp(-float64(size)/float64(objects)/rate))
	return uint64(float64(objects) * scale), uint64(float64(size) * scale)
}

// location returns the number of a location, and writes it if it is new.
func (h *heapProfile) location(l location) uint64 {
	id, ok := h.locations[l]
	if ok {
		return id
	}
	id = uint64(len(h.locations) + 1)
	h.locations[l] = id
	function, ok := h.functions[l.function]
	if !ok {
		function = uint64(len(h.functions) + 1)
		h.functions[l.function] = function
		var m message
		m.numbers(function, h.text(l.function), h.text(l.function), h.text(l.file))
		h.bytes(5, m)
	}
	var line, m message
	line.numbers(function, uint64(l.line))
	m.numbers(id, 1)
	m.bytes(4, line)
	h.bytes(4, m)
	return id
}
