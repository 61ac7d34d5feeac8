"""Operations for pyinfra: few, coarse, each named for what it means to the operator."""
