package boot_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/milepost-dev/milepost/internal/boot"
)

func TestABootHasOneIDExceptOnLambda(t *testing.T) {
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "")
	t.Setenv("AWS_EXECUTION_ENV", "")
	switch runtime.GOOS {
	case "linux", "darwin", "windows":
		assert.NotEmpty(t, boot.ID())
		uptime, ok := boot.Uptime()
		assert.True(t, ok)
		assert.Positive(t, uptime)
	default:
		assert.Empty(t, boot.ID())
	}
	first := boot.ID()
	assert.Equal(t, first, boot.ID())

	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "load")
	assert.Empty(t, boot.ID(), "two functions can be copies of one memory snapshot")
	t.Setenv("AWS_LAMBDA_FUNCTION_NAME", "")
	t.Setenv("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023")
	assert.Empty(t, boot.ID())
	t.Setenv("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE")
	assert.Equal(t, runtime.GOOS == "linux" || runtime.GOOS == "darwin" || runtime.GOOS == "windows", boot.ID() != "")
}
