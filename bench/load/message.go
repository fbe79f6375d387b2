package load

// Message is a message of an ordinary application: twenty fields, about 1 KB.
type Message struct {
	ID, Created, Changed       int64
	Kind, State                int32
	Weight, Volume             float64
	Paid, Sent                 bool
	Name, Email, Phone, Remark string
	Tags                       []string
	Counts                     []int64
	Prices                     []float64
	Labels                     map[string]string
	Address                    Address
	Items                      []Item
	Picture                    []byte
}

// Address is a struct in a message.
type Address struct {
	Street, City string
	Number       int32
}

// Item is one of several structs in a message.
type Item struct {
	Name  string
	Price int64
}

// NewMessage returns a message whose fields all hold something.
func NewMessage() Message {
	m := Message{
		ID: 1 << 40, Created: 1_700_000_000, Changed: 1_700_000_111, Kind: 3, State: 7,
		Weight: 12.25, Volume: 0.125, Paid: true,
		Name: "Ada Lovelace", Email: "ada@example.org", Phone: "+44 20 7946 0000", Remark: "leave it with the neighbours",
		Tags:    []string{"fragile", "express", "gift", "insured", "evening", "invoice"},
		Labels:  map[string]string{"shop": "north", "lane": "12", "carrier": "bike", "campaign": "autumn"},
		Address: Address{Street: "St James's Square", City: "London", Number: 12},
		Picture: make([]byte, 128),
	}
	for i := range 12 {
		m.Counts = append(m.Counts, int64(i*i*i))
		m.Prices = append(m.Prices, float64(i)*1.5)
	}
	for range 5 {
		m.Items = append(m.Items, Item{Name: "a thing with a name", Price: 1_999})
	}
	return m
}

// MessageSize is about what a message takes on the wire.
const MessageSize = 1070
