"""The faults. Each does harm, proves that it took effect, undoes it where nobody else does, and checks what follows."""
