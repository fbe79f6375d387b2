// Package protos has the messages between envelopes and weavelets, with the names, the fields and
// the bytes of Service Weaver v0.20. They are written by hand so that applications link no
// Protocol Buffers runtime. Fields from number 1000 on are extensions, which a peer that knows
// only v0.20 skips; the fields with the numbers 2, 5 and 6 of the handshake are those of older
// versions. The file runtime.proto describes the same messages.
package protos
