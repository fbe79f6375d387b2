package echo

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/divisi-go/divisi/bench/echo/pb"
	"github.com/divisi-go/divisi/bench/load"
	"github.com/divisi-go/divisi/codegen"
)

// codec is one way of making bytes of a message and a message of bytes.
type codec struct {
	name   string
	encode func()
	decode func()
}

// BenchmarkCodec compares what messages cost apart from the way that they take.
func BenchmarkCodec(b *testing.B) {
	for _, new := range []func(testing.TB, load.Message) codec{own, protobuf, vtprotobuf, streamOfGob, jsonText} {
		c := new(b, load.NewMessage())
		b.Run(c.name+"/encode", func(b *testing.B) { repeat(b, c.encode) })
		b.Run(c.name+"/decode", func(b *testing.B) { repeat(b, c.decode) })
	}
}

func repeat(b *testing.B, f func()) {
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}

// nowhere is where calls end whose arguments have been encoded.
type nowhere struct {
	codegen.Target
	args []byte
}

var errNowhere = errors.New("nowhere")

func (n *nowhere) Local(context.Context) (any, error) { return nil, nil }

func (n *nowhere) Call(_ context.Context, r *codegen.Request) (codegen.Status, []byte, error) {
	n.args = append(n.args[:0], r.Args...)
	return 0, nil, errNowhere
}

// own encodes as a stub does, which uses its buffers again.
func own(t testing.TB, m load.Message) codec {
	registry, err := codegen.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	component, _ := registry.Find("github.com/divisi-go/divisi/bench/echo/Echo")
	n := new(nowhere)
	stub := echoStub{codegen.NewClient(component, registry.Errors, n, codegen.Observer{})}
	encode := func() { stub.Message(t.Context(), m) }
	encode()
	return codec{"Divisi", encode, func() {
		d := codegen.NewDecoder(n.args, registry.Errors)
		decLoadMessage(&d)
	}}
}

func protobuf(_ testing.TB, m load.Message) codec {
	p := pb.Of(m)
	buf, _ := proto.Marshal(p)
	return codec{"protobuf",
		func() { buf, _ = proto.MarshalOptions{}.MarshalAppend(buf[:0], p) },
		func() { proto.Unmarshal(buf, new(pb.Message)) },
	}
}

// vtprotobuf has code for each message in place of reflection.
func vtprotobuf(_ testing.TB, m load.Message) codec {
	p := pb.Of(m)
	buf := make([]byte, p.SizeVT())
	return codec{"vtprotobuf",
		func() {
			if size := p.SizeVT(); size <= cap(buf) {
				p.MarshalToSizedBufferVT(buf[:size])
			}
		},
		func() { new(pb.Message).UnmarshalVT(buf) },
	}
}

// streamOfGob sends the types once.
func streamOfGob(_ testing.TB, m load.Message) codec {
	var buf bytes.Buffer
	encoder, decoder := gob.NewEncoder(&buf), gob.NewDecoder(&buf)
	encoder.Encode(m)
	decoder.Decode(new(load.Message))
	encoder.Encode(m)
	again := bytes.Clone(buf.Bytes())
	return codec{"gob",
		func() { buf.Reset(); encoder.Encode(m) },
		func() { buf.Reset(); buf.Write(again); decoder.Decode(new(load.Message)) },
	}
}

func jsonText(_ testing.TB, m load.Message) codec {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	text, _ := json.Marshal(m)
	return codec{"JSON",
		func() { buf.Reset(); encoder.Encode(m) },
		func() { json.Unmarshal(text, new(load.Message)) },
	}
}
