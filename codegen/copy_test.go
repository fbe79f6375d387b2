package codegen

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestCopies(t *testing.T) {
	ints := []int{1, 2}
	nested := map[string][]int{"a": ints}
	number := 7
	copyInts := func(v []int) []int { return CopySlice(v, nil) }

	if c := CopySlice(ints, nil); !reflect.DeepEqual(c, ints) || &c[0] == &ints[0] {
		t.Errorf("slice %v was copied as %v", ints, c)
	}
	if c := CopySlice([][]int{ints}, copyInts); &c[0][0] == &ints[0] {
		t.Error("the elements of a slice are shared")
	}
	c := CopyMap(nested, nil, copyInts)
	if !reflect.DeepEqual(c, nested) || &c["a"][0] == &ints[0] {
		t.Errorf("map %v was copied as %v", nested, c)
	}
	keys := map[*int]bool{&number: true}
	for k := range CopyMap(keys, func(p *int) *int { return CopyPtr(p, nil) }, nil) {
		if k == &number || *k != number {
			t.Errorf("key %p was copied as %p", &number, k)
		}
	}
	if c := CopyPtr(&ints, copyInts); c == &ints || &(*c)[0] == &ints[0] {
		t.Error("what a pointer points to is shared")
	}
	array := [1][]int{ints}
	CopyArray(array[:], copyInts)
	if &array[0][0] == &ints[0] {
		t.Error("the elements of an array are shared")
	}
}

func TestCopiesOfNil(t *testing.T) {
	if CopySlice([]int(nil), nil) != nil || CopyMap(map[int]int(nil), nil, nil) != nil ||
		CopyPtr[int](nil, nil) != nil {
		t.Error("the copy of a nil is not nil")
	}
	if CopySlice([]int{}, nil) == nil || CopyMap(map[int]int{}, nil, nil) == nil {
		t.Error("the copy of something empty is nil")
	}
}

func TestCopyCoded(t *testing.T) {
	own := errors.New("an error that no table knows")
	v := node{name: "a", next: &node{errs: []error{nil, own}}, kids: []node{{errs: []error{own}}}}
	c := CopyCoded(v, encNode, decNode)
	if !reflect.DeepEqual(c, v) || c.next == v.next {
		t.Errorf("%+v was copied as %+v", v, c)
	}
	if c.next.errs[1] != own || c.kids[0].errs[0] != own {
		t.Error("an error has lost its identity in a copy")
	}
}

func TestCopyCodedOfCyclicValue(t *testing.T) {
	cyclic := &node{}
	cyclic.next = cyclic
	f := newFixture(t)
	err := func() (err error) {
		defer f.client.Enter(0).Leave(&err)
		CopyCoded(*cyclic, encNode, decNode)
		return nil
	}()
	want := fmt.Sprintf("cannot encode a value for %s.Echo: %v", fixtureName, errDepth)
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if errors.Is(err, ErrPanic) || len(f.target.panics) > 0 {
		t.Error("a cyclic value counts as a panic of the component")
	}
}

func TestRecoverOfPanic(t *testing.T) {
	f := newFixture(t)
	err := func() (err error) {
		defer f.client.Enter(0).Leave(&err)
		panic("first line\nsecond line")
	}()
	if !errors.Is(err, ErrPanic) || !strings.HasSuffix(err.Error(), fixtureName+".Echo: first line") {
		t.Errorf("error %v", err)
	}
	if len(f.target.panics) != 1 {
		t.Errorf("the target was told of %d panics", len(f.target.panics))
	}
}
