// Package rule is the table of everything that is refused, and the problems that say so.
package rule

import (
	"fmt"
	"go/token"
	"strings"
)

// Rule is one way in which source can be refused.
type Rule int

// The rules, in the order of the table.
const (
	_ Rule = iota

	ImplementsField
	ImplementsTwice
	ImplementsNotInterface
	ImplementsUnnamed
	ImplementsGeneric
	ImplementsUnexported
	ImplGeneric
	ImplMissing
	ImplTwice
	MainTwice
	MainEmbedding
	Stray
	Lifecycle
	Constraint
	Description

	MethodUnexported
	MethodContext
	MethodError
	MethodStream

	TypeChan
	TypeFunc
	TypeInterface
	TypePointer
	TypePrivate
	TypeUnexported
	TypeInternal
	TypeProtoValue
	TypeLocked

	RefMain
	RefNotInterface
	RefUnnamed
	RefGeneric
	FieldPointer
	FieldNested
	TagName
	TagKey
	ListenerTwice

	RouterType
	RouterEmpty
	RouterExtra
	RouterArgs
	RouterResult

	DirectiveUnknown
	DirectiveMisplaced
	NotRetriable
	Source

	Cycle
	NotLinked
	end
)

// Entry is what a rule says: what is wrong, in the words of the source, and the way out. The
// verbs in both stand for the same list of names.
type Entry struct {
	ID      string
	What    string
	Fix     string
	Warning bool // generation goes on
}

// Table has the entries of all rules.
var Table = [end]Entry{
	ImplementsField: {ID: "implements-field",
		What: "%[1]s holds divisi.Implements[%[2]s], but does not embed it by value",
		Fix:  "write divisi.Implements[%[2]s] without a field name and without *"},
	ImplementsTwice: {ID: "implements-twice",
		What: "%[1]s embeds divisi.Implements twice",
		Fix:  "give every component interface a struct of its own"},
	ImplementsNotInterface: {ID: "implements-not-interface",
		What: "%[1]s embeds divisi.Implements[%[2]s], but %[2]s is not an interface",
		Fix:  "declare the component's methods in an interface and name that"},
	ImplementsUnnamed: {ID: "implements-unnamed",
		What: "%[1]s embeds divisi.Implements of an interface without a name",
		Fix:  "declare it as a type and name that, for components are known by their names"},
	ImplementsGeneric: {ID: "implements-generic",
		What: "%[1]s embeds divisi.Implements[%[2]s], an instance of a generic interface",
		Fix:  "give it a name of its own: type Name interface { %[2]s }"},
	ImplementsUnexported: {ID: "implements-unexported",
		What: "the component interface %[2]s is not exported by its package",
		Fix:  "export it, or implement it in the package that declares it"},
	ImplGeneric: {ID: "implementation-generic",
		What: "the component implementation %[1]s has type parameters",
		Fix:  "implement the component by a struct without them, which may hold a generic one"},
	ImplMissing: {ID: "implementation-incomplete",
		What: "*%[1]s does not implement %[2]s (%[3]s)",
		Fix:  "write the method as the interface has it"},
	ImplTwice: {ID: "implementation-twice",
		What: "%[1]s and %[2]s both implement component %[3]s",
		Fix: "give one of them a name, by a tag `divisi:\"name\"` on its divisi.Implements, " +
			"and that tag to the references that mean it"},
	MainTwice: {ID: "main-twice",
		What: "%[1]s and %[2]s both embed divisi.Implements[divisi.Main]",
		Fix: "a program has one main component: give one of them an interface of its own, " +
			"or move it to another program"},
	MainEmbedding: {ID: "main-embedding",
		What: "%[1]s is given to divisi.Run, but does not embed divisi.Implements[divisi.Main]",
		Fix:  "embed it in %[1]s"},
	Stray: {ID: "stray-embedding",
		What: "%[1]s embeds divisi.%[2]s but is no component",
		Fix:  "embed divisi.Implements of its interface as well"},
	Lifecycle: {ID: "lifecycle-signature",
		What: "method %[1]s.%[2]s has the type %[3]s, so it would never be called",
		Fix:  "make it func(context.Context) error, or give it another name"},
	Constraint: {ID: "build-constraint",
		What: "%[1]s is built %[2]s, but %[3]s of the same package %[4]s",
		Fix:  "give both files the same //go:build line, or move one of the two to a package of its own"},
	Description: {ID: "description-too-long",
		What: "the description of %[1]s has %[2]d bytes, more than the %[3]d that tools read from a program",
		Fix:  "refer to fewer components, through one that refers to a part of them"},

	MethodUnexported: {ID: "method-unexported",
		What: "method %[1]s of component %[2]s is not exported",
		Fix:  "export it, or move it out of the interface"},
	MethodContext: {ID: "method-context",
		What: "the first parameter of %[2]s.%[1]s is not a context.Context",
		Fix:  "%[3]s: %[1]s(ctx context.Context, ...)"},
	MethodError: {ID: "method-error",
		What: "the last result of %[2]s.%[1]s is not an error",
		Fix:  "add one, for any call can fail on its way: %[1]s(...) (..., error)"},
	MethodStream: {ID: "method-stream",
		What: "%[2]s.%[1]s is no stream: its results are %[3]s",
		Fix:  "return iter.Seq2[T, error] and nothing else"},

	TypeChan: {ID: "type-channel",
		What: "%[1]s (%[2]s) cannot cross processes: it is a channel",
		Fix:  "return iter.Seq2[T, error] for a stream of values, or leave the field out"},
	TypeFunc: {ID: "type-function",
		What: "%[1]s (%[2]s) cannot cross processes: it is a function",
		Fix:  "pass what the function decides by, or make it a method of a component"},
	TypeInterface: {ID: "type-interface",
		What: "%[1]s (%[2]s) cannot cross processes: it is an interface, of which only error can",
		Fix:  "use a concrete type, or a struct with one pointer for each possibility"},
	TypePointer: {ID: "type-pointer",
		What: "%[1]s (%[2]s) cannot cross processes: it is a machine address",
		Fix:  "use uint64 if it is a number, or leave the field out"},
	TypePrivate: {ID: "type-private",
		What: "%[1]s (%[2]s) cannot cross processes: it has unexported fields of another package",
		Fix: "embed divisi.AutoMarshal in it if it is yours, or give it MarshalBinary and UnmarshalBinary; " +
			"or copy what is needed to a struct of this package"},
	TypeUnexported: {ID: "type-unexported",
		What: "%[1]s (%[2]s) has a type that its package does not export",
		Fix:  "export the type, or use another one"},
	TypeInternal: {ID: "type-internal",
		What: "%[1]s (%[2]s) has a type of an internal package that this package cannot import",
		Fix:  "declare an alias of the type in a package that may be imported, and use that"},
	TypeProtoValue: {ID: "type-message",
		What: "%[1]s (%[2]s) is a protobuf message that is not behind a pointer",
		Fix:  "use *%[2]s: messages must not be copied"},
	TypeLocked: {ID: "type-locked",
		What: "%[1]s (%[2]s) holds a lock and is not behind a pointer",
		Fix:  "use *%[2]s: it must not be copied"},

	RefMain: {ID: "reference-main",
		What: "%[1]s refers to divisi.Main",
		Fix:  "move what it needs of the main component into a component of its own"},
	RefNotInterface: {ID: "reference-not-interface",
		What: "%[1]s refers to %[2]s, which is not an interface",
		Fix:  "refer to the component by its interface"},
	RefUnnamed: {ID: "reference-unnamed",
		What: "%[1]s refers to an interface without a name",
		Fix:  "refer to the component by the interface that it implements"},
	RefGeneric: {ID: "reference-generic",
		What: "%[1]s refers to %[2]s, an instance of a generic interface",
		Fix:  "refer to the named interface that the component implements"},
	FieldPointer: {ID: "field-pointer",
		What: "%[1]s has the type %[2]s, so it would never be filled",
		Fix:  "hold it by value, without the *"},
	FieldNested: {ID: "field-nested",
		What: "%[1]s holds a %[2]s inside %[3]s, where it would never be filled",
		Fix:  "make it a field of the component itself; a table of components can hold what Get returns"},
	TagName: {ID: "tag-name",
		What: "%[2]q in the tag of %[1]s is not a name",
		Fix:  "use letters, digits, - and _, beginning with a letter"},
	TagKey: {ID: "tag-key",
		What: "the tag %[2]s of %[1]s says nothing: %[3]s",
		Fix:  "write `divisi:\"name\"`"},
	ListenerTwice: {ID: "listener-twice",
		What: "the listener name %[1]q is used by %[2]s and %[3]s",
		Fix:  "name one of them by a tag: divisi.Listener `divisi:\"name\"`"},

	RouterType: {ID: "router-type",
		What: "%[1]s is routed by %[2]s, which is no struct that generated code can make",
		Fix:  "declare a struct in this package, or an exported one, with the routing methods"},
	RouterEmpty: {ID: "router-empty",
		What: "router %[2]s has no method that %[1]s has too",
		Fix:  "give it methods with the names and arguments of the ones to route"},
	RouterExtra: {ID: "router-extra",
		What: "router method %[2]s.%[3]s has no counterpart in component %[1]s",
		Fix:  "correct or remove it; a helper can be unexported"},
	RouterArgs: {ID: "router-arguments",
		What: "router method %[2]s.%[3]s takes %[4]s, but the component's takes %[5]s",
		Fix:  "make the parameters equal"},
	RouterResult: {ID: "router-result",
		What: "router method %[2]s.%[3]s returns %[4]s, which is no routing key",
		Fix:  "return one string, integer or float, or a struct of those"},

	DirectiveUnknown: {ID: "directive-unknown",
		What: "there is no directive %[1]s",
		Fix: "use //divisi:singleton or //divisi:always on an implementation, " +
			"//divisi:shared on a method of an interface"},
	DirectiveMisplaced: {ID: "directive-misplaced",
		What: "%[1]s says nothing here",
		Fix:  "put it in the comment before %[2]s"},
	NotRetriable: {ID: "not-retriable",
		What: "%[1]s is not a method of a component interface",
		Fix:  "write var _ divisi.NotRetriable = Interface.Method"},
	Source: {ID: "source-missing",
		What: "what the source of %[1]s says about %[2]s is unknown: %[3]v",
		Fix:  "make it readable: comments //divisi:shared and marks divisi.NotRetriable count"},

	Cycle: {ID: "reference-cycle", Warning: true,
		What: "components refer to each other in a cycle: %[1]s",
		Fix: "this works as long as no Init uses a component of its cycle; " +
			"to break it, move what both need into a third component"},
	NotLinked: {ID: "not-linked", Warning: true,
		What: "%[1]s uses component %[2]s, but no package that it imports implements it",
		Fix:  "%[3]s"},
}

// Problem is a rule that source breaks at a position.
type Problem struct {
	Rule *Entry
	Pos  token.Position
	What string
	Fix  string
}

// Error returns file:line:col: what: how to fix.
func (p *Problem) Error() string {
	kind := ""
	if p.Rule.Warning {
		kind = "warning: "
	}
	return fmt.Sprintf("%v: %s%s: %s", p.Pos, kind, p.What, p.Fix)
}

// At returns the problem that source breaks a rule at a position. The arguments are the names that the
// rule's texts speak of.
func (r Rule) At(pos token.Position, args ...any) *Problem {
	entry := &Table[r]
	return &Problem{Rule: entry, Pos: pos, What: fill(entry.What, args), Fix: fill(entry.Fix, args)}
}

// fill is Sprintf for texts that need not use every argument.
func fill(text string, args []any) string {
	if !strings.Contains(text, "%[") {
		return text
	}
	return fmt.Sprintf(text, args...)
}
