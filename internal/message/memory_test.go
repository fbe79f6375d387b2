package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"
)

// repeated is a field that is there many times, each time empty.
func repeated(size int, path ...byte) []byte {
	data := bytes.Repeat([]byte{path[0]<<3 | typeBytes, 0}, size/2)
	for _, num := range path[1:] {
		outer := binary.AppendUvarint([]byte{num<<3 | typeBytes}, uint64(len(data)))
		data = append(outer, data...)
	}
	return data
}

// live returns how much memory is in use.
func live() int {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// TestMemory: a message of many elements without content is refused before much more memory is
// taken for it than its bytes take.
func TestMemory(t *testing.T) {
	const size = 4 << 20
	for name, tc := range map[string]struct {
		data []byte
		into Message
	}{
		"spans":       {repeated(size, 1, 4), &WeaveletMsg{}},
		"attributes":  {repeated(size, 8, 1, 4), &WeaveletMsg{}},
		"definitions": {repeated(size, 1), &MetricUpdate{}},
	} {
		t.Run(name, func(t *testing.T) {
			before := live()
			err := Unmarshal(tc.data, tc.into)
			if taken := live() - before; taken > 2*maxGrowth*size {
				t.Errorf("%d bytes are kept of a message of %d", taken, size)
			}
			runtime.KeepAlive(tc.into)
			if err != nil && !errors.Is(err, errMuch) {
				t.Error(err)
			}
		})
	}
}

// TestMemoryOfOthers: messages that say something are not refused, whatever they are made of.
func TestMemoryOfOthers(t *testing.T) {
	span := &Span{Name: "n", TraceId: make([]byte, 16), SpanId: make([]byte, 8), StartMicros: 1, EndMicros: 2}
	span.Attributes = []*Span_Attribute{{Key: "k", Value: &Span_Attribute_Value{Type: Span_Attribute_Value_STRING, Str: "v"}}}
	var spans []*Span
	var values []*MetricValue
	entry := &LogEntry{Msg: "m"}
	for i := range 10_000 {
		spans = append(spans, span)
		values = append(values, &MetricValue{Id: uint64(i), Counts: make([]uint64, 20)})
		entry.Attrs = append(entry.Attrs, "k", "")
	}
	for _, m := range []Message{
		&TraceSpans{Span: spans}, &MetricUpdate{Values: values}, entry,
		&RoutingInfo{Replicas: strings.Split(strings.Repeat("a", 1000), "")},
	} {
		var frame bytes.Buffer
		if err := Write(&frame, m); err != nil {
			t.Fatal(err)
		}
		size := frame.Len()
		memory, err := Read(&frame, m)
		if err != nil || memory < size-4 {
			t.Errorf("%T: %d bytes take %d in memory, %v", m, size, memory, err)
		}
	}
}
