package main

import (
	"testing"

	"github.com/ServiceWeaver/weaver/runtime/codegen"
)

// BenchmarkCodec is the row of Service Weaver in the benchmark of package echo with the same name.
func BenchmarkCodec(b *testing.B) {
	m := newMessage()
	enc := codegen.NewEncoder()
	b.Run("Service Weaver/encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			enc.Reset(0)
			m.WeaverMarshal(enc)
		}
	})

	enc.Reset(0)
	m.WeaverMarshal(enc)
	b.Run("Service Weaver/decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			new(Message).WeaverUnmarshal(codegen.NewDecoder(enc.Data()))
		}
	})
}
