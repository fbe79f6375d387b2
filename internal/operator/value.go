package operator

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

var (
	durationType    = reflect.TypeFor[time.Duration]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	marshalerType   = reflect.TypeFor[encoding.TextMarshaler]()
)

// TypeName says to people what is wanted.
func TypeName(t reflect.Type) string {
	_, wants := wanted(t)
	return wants
}

// wanted returns how an argument of a type is called if nobody has given it a name, and what is wanted.
func wanted(t reflect.Type) (name, wants string) {
	switch {
	case t == durationType:
		return "DURATION", "a duration, such as 1m30s"
	case reflect.PointerTo(t).Implements(unmarshalerType):
		wants = "the text of a " + t.String()
		if t.Implements(marshalerType) {
			wants += such(Show(reflect.Zero(t)))
		}
		return strings.ToUpper(t.Name()), wants
	}

	switch t.Kind() {
	case reflect.String:
		return "TEXT", "a text"
	case reflect.Bool:
		return "true|false", "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "NUMBER", "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "NUMBER", "a whole number, not below 0"
	case reflect.Float32, reflect.Float64:
		return "NUMBER", "a number"
	}
	return "JSON", "JSON" + such(example(t))
}

// mostExample bounds examples, in bytes: longer ones are none.
const mostExample = 60

func such(example string) string {
	if example == "" || len(example) > mostExample {
		return ""
	}
	return ", such as " + example
}

// example returns JSON of a type, which has something in it.
func example(t reflect.Type) string {
	v := reflect.Zero(t)
	switch t.Kind() {
	case reflect.Slice:
		v = reflect.MakeSlice(t, 1, 1)
	case reflect.Pointer:
		v = reflect.New(t.Elem())
	case reflect.Map:
		v = reflect.MakeMap(t)
	}
	return Show(v)
}

// given says to people what an answer of a type is.
func given(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return given(t.Elem())
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map, reflect.Interface:
		if !reflect.PointerTo(t).Implements(unmarshalerType) {
			return "an object"
		}
	}
	_, wants := wanted(t)
	what, _, _ := strings.Cut(wants, ",")
	return what
}

// Parse reads a value of a type as an operator writes it: text of the type itself if it reads that, else
// that of a basic type, else JSON.
func Parse(t reflect.Type, text string) (reflect.Value, error) {
	v := reflect.New(t)
	err := parse(v, strings.TrimSpace(text), text)
	if err != nil {
		return v.Elem(), fmt.Errorf("it is not %s: %w", TypeName(t), err)
	}
	return v.Elem(), nil
}

func parse(v reflect.Value, trimmed, text string) (err error) {
	if u, ok := v.Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(trimmed))
	}

	to := v.Elem()
	bits := 0
	if k := to.Kind(); k >= reflect.Int && k <= reflect.Float64 {
		bits = to.Type().Bits()
	}
	switch {
	case to.Type() == durationType:
		var d time.Duration
		d, err = time.ParseDuration(trimmed)
		if err != nil {
			err = strconv.ErrSyntax // the other one has the text, which may be a secret
		}
		to.SetInt(int64(d))
	case to.Kind() == reflect.String:
		to.SetString(text)
	case to.Kind() == reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(trimmed)
		to.SetBool(b)
	case to.CanInt():
		var n int64
		n, err = strconv.ParseInt(trimmed, 0, bits)
		to.SetInt(n)
	case to.CanUint():
		var n uint64
		n, err = strconv.ParseUint(trimmed, 0, bits)
		to.SetUint(n)
	case to.CanFloat():
		var f float64
		f, err = strconv.ParseFloat(trimmed, bits)
		to.SetFloat(f)
	default:
		return json.Unmarshal([]byte(trimmed), v.Interface())
	}

	return reason(err)
}

// reason returns why a number cannot be read, without the name of the function that has tried.
func reason(err error) error {
	if number, ok := err.(*strconv.NumError); ok {
		return number.Err
	}
	return err
}

// Show writes a value as Parse reads it.
func Show(v reflect.Value) string {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		if text, err := m.MarshalText(); err == nil {
			return string(text)
		}
	}
	switch {
	case v.Type() == durationType, v.Kind() == reflect.String, v.Kind() == reflect.Bool,
		v.CanInt(), v.CanUint(), v.CanFloat():
		return fmt.Sprint(v.Interface())
	}
	text, err := json.Marshal(v.Interface())
	if err != nil {
		return fmt.Sprint(v.Interface())
	}
	return string(text)
}

// Take returns what reads a value of a type and hands it to set, unless it cannot be meant.
func Take[T any](check func(T) error, set func(T)) func(text string) error {
	return func(text string) (err error) {
		v, err := Parse(reflect.TypeFor[T](), text)
		if err != nil {
			return err
		}
		value := v.Interface().(T)
		if check != nil {
			if err := guarded(func() error { return check(value) }); err != nil {
				return err
			}
		}
		set(value)
		return nil
	}
}

// guarded makes an error of a panic.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return f()
}
