package storetest

import "github.com/anishathalye/porcupine"

// asked is what a client asks of one key: to write a value, or with compare only if the revision of the key is that.
type asked struct {
	key     string
	write   string // empty for a read
	compare int64  // 0 for a write in any case
}

// answer is what the client was told. Of what it was told nothing, anything may be true.
type answer struct {
	unknown   bool
	succeeded bool
	value     string
	modified  int64 // the revision at which the key was written
	revision  int64 // of the store
}

// state is the key, and the last revision of the store that anybody was told with it.
type state struct {
	value    string
	modified int64
	lost     bool // the revision of the last write is not known
}

// model is a key of a store that is linearizable, with its revisions.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		keys := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(asked).key
			keys[key] = append(keys[key], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range keys {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return state{} },
	Step: func(before, input, output any) (bool, any) {
		return step(before.(state), input.(asked), output.(answer))
	},
}

func step(s state, in asked, out answer) (bool, state) {
	switch {
	case in.write == "" && out.unknown:
		return true, s
	case in.write == "":
		if s.lost && s.value == out.value {
			s.modified, s.lost = out.modified, false // now it is known
		}
		return s.value == out.value && s.modified == out.modified, s
	case out.unknown && in.compare == 0:
		return true, state{value: in.write, lost: true}
	case out.unknown:
		if s.lost || s.modified == in.compare {
			return true, state{value: in.write, lost: true}
		}
		return true, s
	case in.compare != 0 && !out.succeeded:
		return s.lost || s.modified != in.compare, s
	case in.compare != 0 && !s.lost && s.modified != in.compare:
		return false, s
	}
	return s.lost || out.revision > s.modified, state{value: in.write, modified: out.revision}
}
