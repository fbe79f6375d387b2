package codegen

import (
	"cmp"
	"maps"
)

// A local call hands over copies of what caller and callee could otherwise both change, so that
// it means what a remote call means. The functions below are put together by the generator; a
// nil function for an element says that it holds no shared memory.

// CopySlice returns a slice of its own with the elements copied; nil stays nil.
func CopySlice[S ~[]T, T any](s S, elem func(T) T) S {
	if s == nil {
		return nil
	}
	if elem == nil {
		c := make(S, len(s)) // the compiler joins these two lines, and clears no memory
		copy(c, s)
		return c
	}

	c := make(S, len(s))
	for i, v := range s {
		c[i] = elem(v)
	}
	return c
}

// CopyArray copies the elements of an array, given as a slice of it, in place.
func CopyArray[T any](s []T, elem func(T) T) {
	for i, v := range s {
		s[i] = elem(v)
	}
}

// CopyMap returns a map of its own with keys and values copied; nil stays nil.
func CopyMap[M ~map[K]V, K comparable, V any](m M, key func(K) K, value func(V) V) M {
	if key == nil && value == nil {
		return maps.Clone(m) // which looks no key up
	}
	if m == nil {
		return nil
	}

	c := make(M, len(m))
	for k, v := range m {
		if key != nil {
			k = key(k)
		}
		if value != nil {
			v = value(v)
		}
		c[k] = v
	}
	return c
}

// CopyPtr returns a pointer to a copy; nil stays nil.
func CopyPtr[T any](p *T, elem func(T) T) *T {
	if p == nil {
		return nil
	}
	c := *p
	if elem != nil {
		c = elem(c)
	}
	return &c
}

// CopyCoded copies a value by encoding and decoding it: so do types with an encoding of their
// own, which cannot be seen into, and recursive types, whose values may be cyclic, which has to
// end in the same error as in a remote call. That error is thrown, and caught by Local.Leave.
// Errors inside of the value are handed over and not encoded.
func CopyCoded[T any](v T, enc func(*Encoder, T), dec func(*Decoder) T) T {
	var kept []error
	e := Encoder{kept: &kept}
	enc(&e, v)
	d := Decoder{buf: e.buf, kept: &kept}
	c := dec(&d)
	if err := cmp.Or(e.err, d.err); err != nil {
		panic(codeError{err})
	}
	return c
}
