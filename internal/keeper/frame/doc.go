// Package frame is a conversation over a Unix socket in which both ends make requests, many at a
// time, and pass open files with them. It is Linux only.
//
// A frame is one line of JSON:
//
//	{"id":7,"verb":"start","files":2,"body":{...}}            a request
//	{"id":7,"files":1,"body":{...}}                           its answer
//	{"id":7,"error":"...","code":"...","hint":"..."}          its refusal
//	{"id":7,"cancel":true}                                    nobody waits for the answer any more
//
// Who asks chooses the id, above zero, and does not use it again before it is answered. Members
// that are not known are skipped.
//
// The descriptors of a frame travel with its first byte, in one sendmsg (SCM_RIGHTS). The system
// never lets one read return bytes that lie behind those that descriptors came with. So the
// descriptors of a read belong to the frame that the last byte of the read belongs to, however the
// bytes are cut.
//
// The body of an answer that is long for a frame is in a file in memory, the last one of the frame,
// which then has "long":true.
//
// A connection that comes from another host is plain: it passes no descriptors, and a long answer is in its frame.
//
// Everything is bounded: a frame in its length and its files, an answer, and a connection in its open
// requests and in what waits to be written. A peer that leaves a bound ends its own connection and
// nothing else.
package frame
