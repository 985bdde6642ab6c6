package dynamostore

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/milepost-dev/milepost/store"
)

const (
	maxItem = 400 * 1024 // bytes, attribute names included: the service's limit

	// What a record must have left when it is written: for the next holder's name on HEAD, and for
	// a label and an expiry on the copy.
	itemReserve = 4 * 1024
)

// fits returns an error for an item that the service would refuse, or the SDK would change.
func (c *call) fits(it item) error {
	if size := itemSize(it); size > maxItem-itemReserve {
		return &store.SizeError{Key: c.key, Size: size, Limit: maxItem - itemReserve}
	}
	return c.intact(it)
}

// intact returns an error for text that the SDK would change.
func (c *call) intact(values map[string]types.AttributeValue) error {
	for name, value := range values {
		if !validText(value) {
			return c.refuse(fmt.Errorf("%s is not valid UTF-8, and DynamoDB keeps no other text", strings.TrimPrefix(name, ":")))
		}
	}
	return nil
}

func validText(value types.AttributeValue) bool {
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return utf8.ValidString(v.Value)
	case *types.AttributeValueMemberL:
		return !slices.ContainsFunc(v.Value, func(e types.AttributeValue) bool { return !validText(e) })
	case *types.AttributeValueMemberM:
		for _, element := range v.Value {
			if !validText(element) {
				return false
			}
		}
	}
	return true
}

// itemSize counts an item as the service does.
func itemSize(it item) int64 {
	var size int64
	for name, value := range it {
		size += int64(len(name)) + valueSize(value)
	}
	return size
}

func valueSize(value types.AttributeValue) int64 {
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return int64(len(v.Value))
	case *types.AttributeValueMemberB:
		return int64(len(v.Value))
	case *types.AttributeValueMemberN:
		return numberSize(v.Value)
	case *types.AttributeValueMemberL:
		size := int64(3)
		for _, element := range v.Value {
			size += 1 + valueSize(element)
		}
		return size
	case *types.AttributeValueMemberM:
		size := int64(3)
		for name, element := range v.Value {
			size += 1 + int64(len(name)) + valueSize(element)
		}
		return size
	}
	return 1 // BOOL and NULL; our records have no sets
}

// numberSize is one byte for each two significant digits, one more byte, and one for the sign.
func numberSize(n string) int64 {
	digits := strings.TrimLeft(n, "-0")
	size := int64(len(strings.TrimRight(digits, "0"))+1)/2 + 1
	if strings.HasPrefix(n, "-") {
		size++
	}
	return size
}
