"""The tasks and grades of the competition."""

TASKS = ("deletion", "nonword_repetition", "blending", "sentence_repetition")  # in the order of the task scalar
GRADES = ("KG", "1", "2", "3")  # in the order of the grade scalar
SCALAR_STEPS = 4  # of a scalar, from one task or grade to the next: 1 / 4
