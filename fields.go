package divisi

import (
	"cmp"
	"fmt"
	"net"
	"reflect"

	"github.com/divisi-go/divisi/internal/name"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// The fields of an implementation that a weavelet fills; all of them are this package's types.
type (
	hostField   interface{ setHost(*weavelet.Host) }
	configField interface{ configPointer() any }
	refField    interface {
		isRef() (iface any, direct bool)
		setRef(any)
	}
	listenerField interface{ setListener(net.Listener, string) }
)

// Package divisitest needs inspect, and nobody else.
var _ = weavelet.HandOver(inspect)

// inspect finds the fields in a pointer to an implementation.
func inspect(impl any) (weavelet.Fields, error) {
	var fields weavelet.Fields
	v := reflect.ValueOf(impl).Elem()
	for i := range v.NumField() {
		typ := v.Type().Field(i)
		// Fields are mostly unexported, which only their address lets us set.
		field := reflect.NewAt(typ.Type, v.Field(i).Addr().UnsafePointer()).Interface()
		tag := tagName(typ.Tag)
		switch f := field.(type) {
		case hostField:
			fields.SetHost = f.setHost
		case configField:
			fields.Config = f.configPointer()
		case refField:
			iface, direct := f.isRef()
			fields.Refs = append(fields.Refs, weavelet.RefField{
				Iface:  reflect.TypeOf(iface).Elem(),
				Name:   tag,
				Direct: direct,
				Set:    f.setRef,
			})
		case listenerField:
			fields.Listeners = append(fields.Listeners, weavelet.ListenerField{
				Name: cmp.Or(tag, name.Listener(typ.Name)),
				Set:  f.setListener,
			})
		}
	}
	if fields.SetHost == nil {
		return fields, fmt.Errorf("%T does not embed divisi.Implements", impl)
	}
	return fields, nil
}

// tagName returns the name in a field's tag; the key of Service Weaver is known as well.
func tagName(tag reflect.StructTag) string {
	if name, ok := tag.Lookup("divisi"); ok {
		return name
	}
	return tag.Get("weaver")
}
