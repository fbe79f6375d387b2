package codegen

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// Info describes a component. Its text form stands in the generated code as a string constant,
// so that tools read components, listeners and the call graph from a binary without running it.
type Info struct {
	Name      string   `json:"name,omitzero"`      // full path of the interface, with #name for a named implementation
	Impl      string   `json:"impl,omitzero"`      // full path of the struct
	Refs      []string `json:"refs,omitzero"`      // names of the components it holds references to
	Listeners []string `json:"listeners,omitzero"` // names of its network listeners
	Methods   []string `json:"methods,omitzero"`   // names of its methods
	Config    bool     `json:"config,omitzero"`    // takes a section of the configuration
	Routed    bool     `json:"routed,omitzero"`    // calls are routed by key
	Singleton bool     `json:"singleton,omitzero"` // runs once in the whole application
	Always    bool     `json:"always,omitzero"`    // starts with the application, not with its first use
	Main      bool     `json:"main,omitzero"`      // the application's main component

	// More are properties that this version of the package does not know, each as it stands. The
	// property "calls PATH.Method" is reserved for the methods that a component calls.
	More []string `json:"more,omitzero"`
}

// The markers are told apart from other text in a binary by the checksum before the end.
const (
	infoBegin = "\u27e6divisi1\n"
	infoEnd   = "\u27e7"
)

// Text returns the text form: a line for each property, then a checksum.
func (i Info) Text() string {
	var b strings.Builder
	line := func(key string, values ...string) {
		for _, v := range values {
			fmt.Fprintf(&b, "%s %s\n", key, v)
		}
	}
	flag := func(key string, set bool) {
		if set {
			fmt.Fprintf(&b, "%s\n", key)
		}
	}
	line("component", i.Name)
	line("impl", i.Impl)
	line("ref", i.Refs...)
	line("listener", i.Listeners...)
	line("method", i.Methods...)
	flag("config", i.Config)
	flag("routed", i.Routed)
	flag("singleton", i.Singleton)
	flag("always", i.Always)
	flag("main", i.Main)
	for _, property := range i.More {
		flag(property, true)
	}
	sum := crc32.ChecksumIEEE([]byte(b.String()))
	return fmt.Sprintf("%s%ssum %08x\n%s", infoBegin, b.String(), sum, infoEnd)
}

// Variant returns the name of a named implementation, or "".
func (i Info) Variant() string {
	_, variant, _ := strings.Cut(i.Name, "#")
	return variant
}

// ParseInfo reads the text form. It keeps the properties that it does not know: a program may have
// been made by a newer version than the tool that reads it.
func ParseInfo(text string) (Info, error) {
	var i Info
	body, ok := strings.CutPrefix(text, infoBegin)
	body, ok2 := strings.CutSuffix(body, infoEnd)
	at := strings.LastIndex(body, "sum ")
	if !ok || !ok2 || at < 0 {
		return i, errors.New("not a component description")
	}
	sum, err := strconv.ParseUint(strings.TrimSuffix(body[at+len("sum "):], "\n"), 16, 32)
	if err != nil || uint32(sum) != crc32.ChecksumIEEE([]byte(body[:at])) {
		return i, errors.New("the checksum of a component description is wrong")
	}
	for line := range strings.Lines(body[:at]) {
		line = strings.TrimSuffix(line, "\n")
		key, value, _ := strings.Cut(line, " ")

		switch key {
		case "component":
			i.Name = value
		case "impl":
			i.Impl = value
		case "ref":
			i.Refs = append(i.Refs, value)
		case "listener":
			i.Listeners = append(i.Listeners, value)
		case "method":
			i.Methods = append(i.Methods, value)
		case "config":
			i.Config = true
		case "routed":
			i.Routed = true
		case "singleton":
			i.Singleton = true
		case "always":
			i.Always = true
		case "main":
			i.Main = true
		default:
			i.More = append(i.More, line)
		}
	}
	if i.Name == "" {
		return i, errors.New("a component description without a name")
	}
	return i, nil
}

// MaxInfo is the greatest length of a description that tools find in a program.
const MaxInfo = 1 << 20

// FindInfos returns the descriptions found in a piece of a binary. Text that looks like the
// beginning of one but is none is passed over.
func FindInfos(data []byte) []Info {
	var found []Info
	for {
		end := bytes.Index(data, []byte(infoEnd))
		if end < 0 {
			return found
		}
		end += len(infoEnd)

		// No description contains the beginning of another one, so the last one counts.
		begin := bytes.LastIndex(data[:end], []byte(infoBegin))
		if begin >= 0 && end-begin <= MaxInfo {
			if info, err := ParseInfo(string(data[begin:end])); err == nil {
				found = append(found, info)
			}
		}
		data = data[end:]
	}
}
